"""What makes vectors nested: rotations, maps from exits, and the ladder of dims and exits."""
