"""Text to tree: the grammar, and positions in a statement."""
