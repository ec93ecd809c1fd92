"""What makes vectors nested: rotations, maps of exits, and the ladders of dims and exits."""
