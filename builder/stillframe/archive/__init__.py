"""What is published: the records of instances, the lists made of them, the claims to write, and their upkeep."""
