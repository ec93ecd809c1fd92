"""Statements that define: CREATE, ALTER, DROP and TRUNCATE."""
