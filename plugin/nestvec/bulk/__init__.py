"""Bulk embedding beyond one process: tasks, workers on Ray, files for Milvus's import, and the import."""
