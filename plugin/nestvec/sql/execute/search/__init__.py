"""Searches: their targets as vectors, Milvus's search by one column, and its hybrid search by several."""

from nestvec.sql.execute.search.hybrid import run_hybrid
from nestvec.sql.execute.search.nearest import DISTANCE_OF_SCORE, run_search, search_many
from nestvec.sql.execute.search.targets import resolve_targets

__all__ = ["DISTANCE_OF_SCORE", "resolve_targets", "run_hybrid", "run_search", "search_many"]
