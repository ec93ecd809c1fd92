"""The embedding service, seen from outside."""
