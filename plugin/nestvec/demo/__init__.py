"""What ``nestvec demo`` does: text search and image search, end to end."""
