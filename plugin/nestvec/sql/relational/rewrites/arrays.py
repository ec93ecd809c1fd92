"""Arrays: their constants, lengths, elements and what they contain."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import JSON_TYPES, Rule, call, kind


def array_size(node: exp.Expr) -> exp.Expr:
    dimension = node.args.get("expression")
    if dimension is not None and dimension.name not in ("1", ""):
        return exp.Null()
    return call("pg_array_length", node.this)


def array_length(node: exp.Anonymous) -> exp.Expr:
    if len(node.expressions) == 2 and node.expressions[1].name not in ("1", ""):
        return exp.Null()
    return call("pg_array_length", node.expressions[0]) if node.expressions else node


def cardinality(node: exp.Anonymous) -> exp.Expr:
    return call("len", *node.expressions)


def bracket(node: exp.Bracket) -> exp.Expr:
    # Both count from 1, but sqlglot takes indexes of this grammar for those from 0.
    node.set("offset", 1)
    index = node.expressions[0] if len(node.expressions) == 1 else None
    if index is None or kind(node.this) in JSON_TYPES:
        return node
    if isinstance(index, exp.Slice):
        return _slice(node, index)
    if isinstance(index, exp.Literal) and index.name not in ("0",):
        return node
    return call("pg_element", node.this, index)


_MAX_INDEX = (1 << 31) - 1


def _slice(node: exp.Bracket, bounds: exp.Slice) -> exp.Expr:
    """A part of an array; DuckDB counts bounds below 1 from the end."""
    low, high = bounds.this, bounds.expression
    if all(bound is None or _is_position(bound) for bound in (low, high)):
        return node
    first = exp.Literal.number(1) if low is None else low
    return call("pg_slice", node.this, first, exp.Literal.number(_MAX_INDEX) if high is None else high)


def _is_position(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and node.name.isdecimal() and int(node.name) > 0


def without_queries(name: str) -> Rule:
    """A macro with a lambda, in which DuckDB takes no subquery: its arguments are columns of a row then."""

    def called(node: exp.Anonymous) -> exp.Expr:
        if not any(argument.find(exp.Query) for argument in node.expressions):
            return node
        return _over_row(lambda *columns: call(name, *columns), node.expressions)

    return called


def _over_row(build: Callable[..., exp.Expr], values: Sequence[exp.Expr]) -> exp.Expr:
    """What is built of the columns of one row, which has these values."""
    sides = [exp.alias_(value.copy(), f"pg_value_{at}") for at, value in enumerate(values)]
    row = exp.select(*sides).subquery("pg_values")
    columns = (exp.column(side.alias, "pg_values") for side in sides)
    return exp.select(build(*columns)).from_(row).subquery()


def overlaps(node: exp.ArrayOverlaps) -> exp.Expr:
    type_arrays(node)
    return node


def type_arrays(node: exp.Binary) -> None:
    """Give an array constant beside an array the type of that."""
    for name, other in (("this", node.expression), ("expression", node.this)):
        side, type_ = node.args[name], other.type
        if (
            isinstance(side, exp.Literal)
            and side.is_string
            and kind(other) == exp.DType.ARRAY
            and type_ is not None
        ):
            element = type_.expressions[0].this if type_.expressions else None
            node.set(name, typed_array(side, element))


def array_contains(node: exp.ArrayContainsAll) -> exp.Expr:
    type_arrays(node)
    if kind(node.this) in JSON_TYPES or kind(node.expression) in JSON_TYPES:
        return call("pg_json_contains", _as_json(node.this), _as_json(node.expression))
    return call("pg_has_all", node.this, node.expression)


def contained(node: exp.ArrayContainedBy) -> exp.Expr:
    type_arrays(node)
    if kind(node.this) in JSON_TYPES or kind(node.expression) in JSON_TYPES:
        return call("pg_json_contains", _as_json(node.expression), _as_json(node.this))
    return call("pg_has_all", node.expression, node.this)


def _as_json(node: exp.Expr) -> exp.Expr:
    return node if kind(node) in JSON_TYPES else exp.cast(node.copy(), "json")


def typed_array(node: exp.Literal, element: Any) -> exp.Expr:
    """A constant in PostgreSQL's notation, '{1,NULL,"a b"}', as an array."""
    values = array_constant(node.name)
    if values is None:
        return node.copy()
    items = [exp.Null() if value is None else exp.Literal.string(value) for value in values]
    if element is None:
        return exp.Array(expressions=items)
    type_ = exp.DataType(this=element)
    if element == exp.DType.DECIMAL:
        # DuckDB rounds a NUMERIC without a size to three decimals.
        places = max((len((value or "").partition(".")[2]) for value in values), default=0)
        type_ = exp.DataType.build(f"decimal(38, {min(places, 20)})")
    return exp.cast(
        exp.Array(expressions=items), exp.DataType(this=exp.DType.ARRAY, expressions=[type_], nested=True)
    )


_ARRAY_ITEM = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^",{}]*))\s*(,|$)')


def array_constant(text: str) -> list[str | None] | None:
    """The elements of an array constant of one dimension; None if the text is none."""
    text = text.strip()
    if not text.startswith("{") or not text.endswith("}"):
        return None
    body, at, values = text[1:-1], 0, list[str | None]()
    if not body.strip():
        return values
    while True:
        match = _ARRAY_ITEM.match(body, at)
        if match is None:
            return None
        quoted, plain = match[1], match[2]
        if quoted is not None:
            values.append(re.sub(r"\\(.)", r"\1", quoted))
        else:
            values.append(None if plain.strip().upper() == "NULL" else plain.strip())
        if not match[3]:
            return values
        at = match.end()


def removed(node: exp.ArrayRemove) -> exp.Expr:
    """``array_remove(a, NULL)`` leaves what is not NULL."""
    if node.expression.find(exp.Query) is not None:
        return _over_row(_without, (node.this, node.expression))
    return _without(node.this, node.expression)


def _without(array: exp.Expr, value: exp.Expr) -> exp.Expr:
    return call("pg_array_remove", array, value)
