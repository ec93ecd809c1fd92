"""What a checkpoint declares, read from its small files before any weights are loaded."""
