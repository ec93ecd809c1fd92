"""Plan to answer: calls of Milvus, and what is done with what they bring."""
