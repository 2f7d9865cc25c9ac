"""Between an archive and its viewers: the preview server, nginx, CloudFront, and grants."""
