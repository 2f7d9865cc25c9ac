"""Where objects are put: a directory, memory, or a bucket of S3 or a store like it."""
