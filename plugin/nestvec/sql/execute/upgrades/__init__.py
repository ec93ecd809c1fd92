"""Searches of a collection whose encoder is being replaced."""
