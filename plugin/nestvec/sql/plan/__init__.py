"""Bound statement to plan: what Milvus is asked and what nestvec does, as a tree of data."""
