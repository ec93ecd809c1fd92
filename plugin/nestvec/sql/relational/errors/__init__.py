"""Errors that PostgreSQL would raise, and where in the statement they belong."""
