"""PostgreSQL's operators of JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.arrays import array_constant, typed_array
from nestvec.sql.relational.rewrites.bytes_and_times import BINARY_TYPES, hex_text
from nestvec.sql.relational.rewrites.nodes import (
    DAYS_AND_MOMENTS,
    INTEGERS,
    JSON_TYPES,
    Rule,
    anonymous_name,
    call,
    is_text_constant,
    is_vector,
    kind,
    outside,
)
from nestvec.sql.relational.rewrites.numbers.json_digits import (
    array_document,
    in_braces,
    is_document,
    list_document,
    object_document,
    pair_text,
)
from nestvec_schemas.errors import SqlNotSupported


def json_array(node: exp.JSONArrayAgg) -> exp.Expr:
    """The values of a group as JSON; DuckDB's own function takes neither ORDER BY nor FILTER."""
    items = node.this.copy()
    holder = items.this if isinstance(items, exp.Order) else items
    value = json_value(holder)
    if value is not holder and isinstance(items, exp.Order):
        items.set("this", value)
    gathered = exp.ArrayAgg(this=items if isinstance(items, exp.Order) else value)

    def as_document(wrapped: exp.Expr) -> exp.Expr:
        return list_document(wrapped) if is_document(value) else call("to_json", wrapped)

    if not isinstance(node.parent, (exp.Filter, exp.Window)):
        return as_document(gathered)
    node.replace(gathered)
    outside(gathered, as_document)
    return node


def jsonb_array(node: exp.Anonymous) -> exp.Expr:
    """``jsonb_agg(…)``, which sqlglot does not know, with the FILTER or OVER around it."""
    gathered = exp.JSONArrayAgg(this=node.expressions[0].copy())
    node.replace(gathered)
    array = json_array(gathered)
    if array is not gathered:
        array.type = node.type
        gathered.replace(array)
    return node


def json_object(node: exp.Expr) -> exp.Expr:
    """Keys and values of a group as JSON."""
    key, value = node.expressions or [node.this, node.args["expression"]]
    order = value if isinstance(value, exp.Order) else None
    value = json_value(value if order is None else order.this)
    is_alone = not isinstance(node.parent, (exp.Filter, exp.Window))
    if is_alone and order is None and not is_document(value):
        return _merged(node, call("json_group_object", key, value))
    comma: exp.Expr = exp.Literal.string(",")
    if order is not None:
        comma = exp.Order(this=comma, expressions=[each.copy() for each in order.expressions])
    gathered = call("string_agg", pair_text(key, value), comma)
    if is_alone:
        return _merged(node, in_braces(gathered))
    node.replace(gathered)
    outside(gathered, lambda wrapped: _merged(node, in_braces(wrapped)))
    return node


def _merged(node: exp.Expr, document: exp.Expr) -> exp.Expr:
    """An object of ``jsonb_object_agg``, which has the last value of a key; DuckDB would read the first."""
    is_jsonb = isinstance(node, exp.JSONBObjectAgg)
    return exp.cast(call("pg_json_print", document), "json") if is_jsonb else document


def json_value(node: exp.Expr) -> exp.Expr:
    """A value of JSON: a timestamp has a T and minutes in its zone; intervals and REALs are their texts.

    NaN and the infinite numbers are strings.
    """
    if kind(node) == exp.DType.FLOAT:
        return call("pg_json_number", exp.cast(exp.cast(node.copy(), "text"), "double"))
    if kind(node) == exp.DType.DOUBLE:
        return call("pg_json_number", node)
    if kind(node) == exp.DType.DECIMAL:
        return call("pg_json_numeric", exp.cast(node.copy(), "text"))
    if kind(node) == exp.DType.INTERVAL:
        return call("pg_interval_text", node)
    if kind(node) in BINARY_TYPES:
        return hex_text(node)
    if kind(node) == exp.DType.ARRAY and not is_vector(node):
        return _json_values(node)
    if kind(node) in DAYS_AND_MOMENTS:
        zone = exp.Literal.string(":00" if kind(node) == exp.DType.TIMESTAMPTZ else "")
        return call("pg_json_moment", exp.cast(node.copy(), "text"), zone)
    return node


def _json_values(array: exp.Expr) -> exp.Expr:
    """The elements of an array as values of JSON."""
    element = exp.to_identifier("pg_item")
    element.type = array.type.expressions[0] if array.type and array.type.expressions else None
    value = json_value(element)
    if value is element:
        return array
    return call("list_transform", array, exp.Lambda(this=value, expressions=[element]))


def of_values(name: str) -> Rule:
    """A function that makes JSON of its arguments."""

    def document(node: exp.Anonymous) -> exp.Expr:
        values = [json_value(value) for value in node.expressions]
        if name == "to_json" and len(values) == 1:
            value = values[0]
            if _of_documents(value):
                return list_document(value)
            return exp.cast(value.copy(), "json") if is_document(value) else call("to_json", value)
        if not any(map(is_document, values)):
            return call(name, *values)
        return object_document(values) if name == "json_object" else array_document(values)

    return document


def _of_documents(array: exp.Expr) -> bool:
    """Whether a value is an array of documents."""
    if anonymous_name(array) == "LIST_TRANSFORM" and len(array.expressions) > 1:
        item = array.expressions[1]
        return isinstance(item, exp.Lambda) and is_document(item.this)
    element = array.type.expressions[0] if array.type and array.type.expressions else None
    is_array = kind(array) == exp.DType.ARRAY and isinstance(element, exp.DataType)
    return is_array and element is not None and element.this in JSON_TYPES


def json_key(node: exp.Expr) -> exp.Expr:
    return call("json_has_key", node.this, node.expression)


def json_keys(*, any_of: bool) -> Rule:
    def keys(node: Any) -> exp.Expr:
        return call("json_has_any" if any_of else "json_has_all", node.this, node.expression)

    return keys


def json_path(node: exp.Expr) -> exp.Expr:
    """``j #> '{a,0}'`` and ``j #> ARRAY['a', '0']``, whose steps are keys or positions by what they meet."""
    steps = _constant_steps(node.expression)
    if steps is None:
        raise SqlNotSupported("a computed path of JSON is not supported", next_step="Write '{a,0}'.")
    return _followed(node.this, steps, as_text=isinstance(node, exp.JSONBExtractScalar))


def json_extract_path(*, as_text: bool) -> Rule:
    """``jsonb_extract_path(j, 'a', '0')``."""

    def extract(node: exp.Anonymous) -> exp.Expr:
        document, *path = node.expressions or [exp.Null()]
        if not all(map(is_text_constant, path)):
            raise SqlNotSupported("a computed path of JSON is not supported", next_step="Write constants.")
        return _followed(as_json(document), [step.name for step in path], as_text=as_text)

    return extract


def _constant_steps(path: exp.Expr) -> list[str | None] | None:
    if is_text_constant(path):
        return array_constant(path.name)
    if isinstance(path, exp.Cast) and path.args["to"].this == exp.DType.ARRAY:
        return _constant_steps(path.this)
    if isinstance(path, exp.Array) and all(map(is_text_constant, path.expressions)):
        return [item.name for item in path.expressions]
    return None


_MAX_ODD_STEPS: Final = 8
"""Positions from the end in a path: the document is computed twice for each."""


def _followed(document: exp.Expr, steps: Sequence[str | None], *, as_text: bool) -> exp.Expr:
    if None in steps:
        return exp.Null()
    names = [step for step in steps if step is not None]
    if sum(map(_is_odd_position, names)) > _MAX_ODD_STEPS:
        raise SqlNotSupported(
            "a path of JSON with more than 8 positions from the end is not supported",
            next_step="Count from the start.",
        )
    reached = document
    for odd, run in groupby(names, key=_is_odd_position):
        if odd:
            for step in run:
                reached = call("pg_json_step", reached, exp.Literal.string(step))
        else:
            pointer = "".join(map(_pointer, run))
            reached = _extracted(reached, pointer)
    return call("pg_json_text", reached) if as_text else reached


def _is_odd_position(step: str) -> bool:
    """Whether a step is a position that no JSON pointer has: -1, 01."""
    return re.fullmatch(r"\s*([+-][0-9]+|0[0-9]+)|\s+[0-9]+", step) is not None


def _pointer(step: str) -> str:
    return "/" + step.replace("~", "~0").replace("/", "~1")


def _extracted(document: exp.Expr, path: str) -> exp.Expr:
    is_plain = isinstance(document.unnest(), (exp.Column, exp.Literal)) or _is_constant_cast(document)
    name = "pg_json_extract" if is_plain else "pg_json_extract_of"
    return call(name, document, exp.Literal.string(path))


def _is_constant_cast(node: exp.Expr) -> bool:
    """Whether a node is a constant that is cast to a type."""
    node = node.unnest()
    return isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal)


def json_text(node: exp.JSONExtractScalar) -> exp.Expr:
    """Objects and arrays as text are spaced as PostgreSQL prints them."""
    extracted = exp.JSONExtract(**{name: value for name, value in node.args.items() if value is not None})
    return call("pg_json_text", exp.paren(json_item(extracted)))


def json_item(node: exp.JSONExtract) -> exp.Expr:
    """An element by its index: of a scalar, PostgreSQL takes the scalar itself."""
    path = node.expression
    steps = path.expressions[1:] if isinstance(path, exp.JSONPath) else []
    index: exp.Expr | None = None
    if len(steps) == 1 and isinstance(steps[0], exp.JSONPathSubscript) and isinstance(steps[0].this, int):
        index = exp.Literal.number(steps[0].this)
    elif (isinstance(path, (exp.Neg, exp.Literal)) and not path.is_string) or kind(path) in INTEGERS:
        index = path
    if index is not None:
        return call("pg_json_item", node.this, index)
    if isinstance(path, exp.JSONPath):
        key = steps[0].this if len(steps) == 1 and isinstance(steps[0], exp.JSONPathKey) else None
        if isinstance(key, str):
            # A pointer of digits would also be the position in an array.
            return _extracted(node.this, f'$."{key}"' if key.isdecimal() else _pointer(key))
        return node
    # DuckDB takes a text that begins with $ or / for a path.
    return call("pg_json_member", node.this, exp.cast(path.copy(), "text"))


def json_joined(node: exp.DPipe) -> exp.Expr:
    """``jsonb || jsonb``."""
    return call("pg_json_concat", as_json(node.this), as_json(node.expression))


def json_without(node: exp.Sub) -> exp.Expr:
    """``jsonb - key``, an array of keys, or a position."""
    removed = node.expression
    if kind(removed) == exp.DType.ARRAY:
        return call("pg_json_delete", node.this, removed)
    if kind(removed) in INTEGERS:
        return call("pg_json_delete_item", node.this, removed)
    return call("pg_json_delete_key", node.this, exp.cast(removed.copy(), "text"))


def json_without_path(node: exp.Expr) -> exp.Expr:
    """``jsonb #- path``."""
    return call("pg_json_delete_at", node.this, _path(node.expression))


def json_with(node: exp.Anonymous) -> exp.Expr:
    """``jsonb_set(document, path, value, create)``."""
    if len(node.expressions) not in (3, 4):
        return node
    document, path, value, *create = node.expressions
    return call("pg_json_set", as_json(document), _path(path), as_json(value), *(create or [exp.true()]))


def as_json(node: exp.Expr) -> exp.Expr:
    return node if kind(node) in JSON_TYPES else exp.cast(node.copy(), "json")


def _path(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Literal) and node.is_string:
        return typed_array(node, exp.DType.TEXT)
    return node
