"""Clients of the embedding service."""
