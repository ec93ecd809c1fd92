"""The shapes that the service answers in, one file each."""
