"""PostgreSQL's containment and equality of JSON: DuckDB looks into nested parts, and compares texts."""

from __future__ import annotations

from typing import Any

import orjson

_MAX_WHOLE = 2.0**63
"""From here on orjson writes no integers."""


def json_contains(document: str, part: str) -> bool:
    """Whether ``document @> part``, two texts of JSON."""
    left, right = orjson.loads(document), orjson.loads(part)
    if isinstance(left, list) and not isinstance(right, (list, dict)):
        # Only at the top, an array contains a scalar.
        right = [right]
    return _contains(left, right)


def json_normal(document: str) -> str:
    """A text that is the same for equal documents: the order of keys and 1.0 for 1 do not matter."""
    return orjson.dumps(_whole_numbers(orjson.loads(document)), option=orjson.OPT_SORT_KEYS).decode()


def _whole_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    return (
        int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_WHOLE else value
    )


def _contains(left: Any, right: Any) -> bool:
    if isinstance(right, dict):
        return isinstance(left, dict) and all(
            key in left and _contains(left[key], value) for key, value in right.items()
        )
    if isinstance(right, list):
        return isinstance(left, list) and all(any(_contains(item, value) for item in left) for value in right)
    # In Python, True == 1.
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
