"""Comparisons of values inside JSON, and of operands that Milvus's IN does not support."""

from __future__ import annotations

import re

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.conditions.nodes import And, Compare, Condition, Operator, Or, negate
from nestvec.sql.bind.conditions.operands import inside_json
from nestvec.sql.bind.scope import Value

_WHOLE = re.compile("-?[1-9][0-9]{0,17}|0")


def compare_json(column: Column, operator: Operator, value: Value) -> Condition:
    """A comparison inside JSON, where a row may hold a value of any type."""
    if operator not in ("=", "!="):
        return Compare(column, operator, value)
    equal = [Compare(column, "=", value)]
    # ->> turns numbers and booleans into text too; Milvus only compares values of one type.
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        equal.append(Compare(column, "=", int(value)))
    if value in ("true", "false"):
        equal.append(Compare(column, "=", value == "true"))
    if operator == "=":
        return equal[0] if len(equal) == 1 else Or(tuple(equal))
    return And(tuple(negate(comparison) for comparison in equal))


def compare_any(column: Column, values: tuple[Value, ...], negated: bool) -> Condition:
    """``column [NOT] IN (values)`` for an element or a value inside JSON: one comparison each."""
    operator: Operator = "!=" if negated else "="
    if inside_json(column):
        parts = tuple(compare_json(column, operator, value) for value in values)
    else:
        parts = tuple(Compare(column, operator, value) for value in values)
    if len(parts) == 1:
        return parts[0]
    return And(parts) if negated else Or(parts)
