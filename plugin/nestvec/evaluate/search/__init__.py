"""How vectors are searched while they are evaluated: exactly, through Milvus, by sparse weights, reranked."""
