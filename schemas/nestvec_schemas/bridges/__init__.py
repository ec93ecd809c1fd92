"""Bridges: heads of an encoder's graph that map its vectors into another encoder's space."""
