"""Layouts of several modules, routes or heads, each checked before anything is loaded."""
