"""PostgreSQL's containment of JSON, for DuckDB: its own function also looks into what a document nests."""

from __future__ import annotations

from typing import Any

import orjson


def json_contains(document: str, part: str) -> bool:
    """Whether ``document @> part``, two texts of JSON."""
    left, right = orjson.loads(document), orjson.loads(part)
    if isinstance(left, list) and not isinstance(right, (list, dict)):
        # Only at the top, an array contains a scalar.
        right = [right]
    return _contains(left, right)


def _contains(left: Any, right: Any) -> bool:
    if isinstance(right, dict):
        return isinstance(left, dict) and all(
            key in left and _contains(left[key], value) for key, value in right.items()
        )
    if isinstance(right, list):
        return isinstance(left, list) and all(any(_contains(item, value) for item in left) for value in right)
    # In Python, True == 1.
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
