"""Plan to rows: calls of Milvus, and the work that nestvec does on what they return."""
