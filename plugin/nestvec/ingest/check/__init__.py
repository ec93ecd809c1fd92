"""Checks of rows before anything is written."""
