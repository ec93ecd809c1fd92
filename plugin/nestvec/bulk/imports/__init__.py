"""The import of bulk files: into a Milvus server by its own, into Milvus Lite row by row."""
