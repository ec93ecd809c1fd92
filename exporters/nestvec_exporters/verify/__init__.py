"""Comparing an exported encoder with the checkpoint that it was made from."""
