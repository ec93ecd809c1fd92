"""NULL in vector columns, by a hidden field where Milvus has none."""
