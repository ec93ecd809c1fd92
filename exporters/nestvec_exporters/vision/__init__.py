"""Image towers and the preprocessing that is folded into their graphs."""
