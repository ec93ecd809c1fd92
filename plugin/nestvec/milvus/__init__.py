"""Milvus as nestvec sees it: connections, the catalog, providers, registration, indexes."""
