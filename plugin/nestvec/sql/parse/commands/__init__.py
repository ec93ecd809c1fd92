"""Statements that sqlglot does not parse, each as a command."""
