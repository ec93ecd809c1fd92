"""Comparisons of values inside JSON, and of what Milvus's IN cannot name."""

from __future__ import annotations

import re

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.conditions.nodes import Compare, Condition, Either, Every, Operator, denied
from nestvec.sql.bind.conditions.operands import inside_json
from nestvec.sql.bind.scope import Value

_WHOLE = re.compile("-?[1-9][0-9]{0,17}|0")


def inside(column: Column, operator: Operator, value: Value) -> Condition:
    """A comparison inside JSON, where a row may have a value of any type."""
    if operator not in ("=", "!="):
        return Compare(column, operator, value)
    same = [Compare(column, "=", value)]
    # ->> gives a text of numbers and booleans too; Milvus compares like with like.
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        same.append(Compare(column, "=", int(value)))
    if value in ("true", "false"):
        same.append(Compare(column, "=", value == "true"))
    if operator == "=":
        return same[0] if len(same) == 1 else Either(tuple(same))
    return Every(tuple(denied(one) for one in same))


def one_of(column: Column, values: tuple[Value, ...], negated: bool) -> Condition:
    """``column [NOT] IN (values)`` for an element or a value inside JSON: one comparison each."""
    operator: Operator = "!=" if negated else "="
    if inside_json(column):
        parts = tuple(inside(column, operator, value) for value in values)
    else:
        parts = tuple(Compare(column, operator, value) for value in values)
    if len(parts) == 1:
        return parts[0]
    return Every(parts) if negated else Either(parts)
