"""COPY between a client and Milvus."""
