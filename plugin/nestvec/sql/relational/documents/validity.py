"""Whether a text is JSON, as IS JSON says."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def is_json(text: str, kind: str, unique: bool) -> bool:
    """Whether a text is JSON: any VALUE, an OBJECT, ARRAY or SCALAR; ``unique`` if no key may be repeated."""
    try:
        value = json.loads(
            text,
            parse_int=str,
            parse_float=str,
            parse_constant=_refuse,
            object_pairs_hook=_unique_pairs if unique else None,
        )
    except ValueError:
        return False
    if kind == "VALUE":
        return True
    shape = "OBJECT" if isinstance(value, dict) else "ARRAY" if isinstance(value, list) else "SCALAR"
    return shape == kind


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key is there twice")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
