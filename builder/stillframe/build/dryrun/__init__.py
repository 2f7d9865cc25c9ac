"""What a build would do, told without writing anything."""
