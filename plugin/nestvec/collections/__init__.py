"""Collections as a spec declares them."""
