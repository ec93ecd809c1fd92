"""From model inputs to embeddings: the queue, batches, the cache, admission."""
