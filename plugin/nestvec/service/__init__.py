"""The embedding service: tokenize, batch, run the graph, truncate, and answer in the API that was called."""
