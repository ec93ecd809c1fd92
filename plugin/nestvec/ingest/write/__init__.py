"""How rows get into Milvus: what a failure means, how long to wait, how many rows a request has."""
