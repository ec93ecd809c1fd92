"""Bound statement to plan: what Milvus does and what nestvec does, as a tree of data."""
