"""The options of commands that train or export a checkpoint."""
