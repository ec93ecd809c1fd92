"""Text to tree: the grammar, and where things stand in a statement."""
