"""Arrays (indexed from 1), JSON (indexed from 0) and vectors (indexed from 1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from nestvec.sql.execute.evaluate.casts import text
from nestvec.sql.execute.evaluate.evaluation_error import EvaluationError


def _element(values: Sequence[Any], at: int) -> Any:
    return values[at - 1] if 1 <= at <= len(values) else None


def _array_length(values: Sequence[Any], dimension: int) -> int | None:
    return len(values) if dimension == 1 and len(values) else None


def _member(value: Any, key: Any) -> Any:
    """The value at a key of an object or an index of a list; NULL if there is none."""
    if isinstance(value, dict):
        return value.get(key) if isinstance(key, str) else None
    if isinstance(value, list) and isinstance(key, int):
        return value[key] if -len(value) <= key < len(value) else None
    return None


def _deep(value: Any, path: str) -> Any:
    """The value at a path in the notation of PostgreSQL's text arrays: {a,0,b}."""
    if not (path.startswith("{") and path.endswith("}")):
        raise EvaluationError("a path is written in braces", repr(path[:40]), "Write '{a,0}'.")
    steps = [part.strip().strip('"') for part in path[1:-1].split(",")] if path != "{}" else []
    for step in steps:
        place = isinstance(value, list) and step.lstrip("-").isdecimal()
        value = _member(value, int(step) if place else step)
    return value


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    # JSON keeps 1.0 and 1 apart, as PostgreSQL's numeric does.
    return repr(value) if isinstance(value, float) else text(value)


def _subvector(vector: Sequence[float], start: int, count: int) -> list[float]:
    if start < 1 or count < 1 or start - 1 + count > len(vector):
        raise EvaluationError(
            f"a vector of {len(vector)} dims has no such part",
            f"{count} from {start}",
            "Positions start at 1.",
        )
    return list(vector[start - 1 : start - 1 + count])


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "element": _element,
    "cardinality": len,
    "array_length": _array_length,
    "->": _member,
    "->>": lambda value, key: _as_text(_member(value, key)),
    "#>": _deep,
    "#>>": lambda value, path: _as_text(_deep(value, path)),
    "l2_norm": lambda vector: math.hypot(*vector),
    "vector_dims": len,
    "subvector": _subvector,
}
