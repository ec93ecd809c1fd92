"""Test beds for retrieval, made from texts that lie on a Debian machine with Python."""
