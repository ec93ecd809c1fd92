"""Checkpoint to encoder: read, pool, export, quantise, verify."""
