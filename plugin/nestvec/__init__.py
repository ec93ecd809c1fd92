"""nestvec: your own encoder inside Milvus, every vector nested."""
