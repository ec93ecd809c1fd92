"""Arrays: their constants, lengths, elements and what they contain."""

from __future__ import annotations

import re
from typing import Any

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import JSON_TYPES, call, kind


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
    if index is None or isinstance(index, exp.Slice) or kind(node.this) in JSON_TYPES:
        return node
    if isinstance(index, exp.Literal) and index.name not in ("0",):
        return node
    return call("pg_element", node.this, index)


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
    element = exp.to_identifier("pg_item")
    differs = exp.NullSafeNEQ(this=element.copy(), expression=node.expression.copy())
    return call("list_filter", node.this, exp.Lambda(this=differs, expressions=[element]))
