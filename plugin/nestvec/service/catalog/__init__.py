"""The encoders of a running service: which there are, under which names, and which are in memory."""
