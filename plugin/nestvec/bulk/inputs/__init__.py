"""The rows of tasks: where they are, and how they are read."""
