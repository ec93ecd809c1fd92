"""What an operator does to a running service: signals, reloads, options that are read again."""
