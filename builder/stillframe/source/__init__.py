"""Where inputs are found: files, folders, objects and members of .zip archives, each opened as one seekable file."""
