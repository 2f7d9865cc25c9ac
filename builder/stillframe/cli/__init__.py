"""The command line: a verb, a file. The only room that prints or knows of terminals."""
