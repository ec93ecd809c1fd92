"""Bound statement to plan: what is asked of whom, as a tree of data."""
