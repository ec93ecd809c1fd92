"""From inputs to results: admission, batches, the cache, scores."""
