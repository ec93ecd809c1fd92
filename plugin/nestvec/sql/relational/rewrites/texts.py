"""Functions of texts."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from nestvec.sql.relational.rewrites.arrays import array_constant, type_arrays
from nestvec.sql.relational.rewrites.bytes_and_times import BINARY_TYPES, bytea_constant
from nestvec.sql.relational.rewrites.calls.regex import substring_of_pattern
from nestvec.sql.relational.rewrites.casts import rewrite_cast
from nestvec.sql.relational.rewrites.nodes import (
    JSON_TYPES,
    TEXT_TYPES,
    Rule,
    anonymous_name,
    call,
    is_text_constant,
    is_vector,
    kind,
    value_text,
)
from nestvec_schemas.errors import SqlDataError, SqlNotSupported


def substring(node: exp.Substring) -> exp.Expr:
    start, length = node.args.get("start"), node.args.get("length")
    matched = substring_of_pattern(node)
    if matched is not None:
        return matched
    if any(
        part is not None and (is_text_constant(part) or kind(part) in TEXT_TYPES) for part in (start, length)
    ):
        raise SqlNotSupported(
            "substring() of a pattern with an escape character is not supported",
            next_step="Write regexp_match(), or substring(text FROM place FOR length).",
        )
    if kind(node.this) in BINARY_TYPES:
        return _bytes_part(node, start, length)
    plain = length is None or _is_positive(length)
    if start is None or kind(node.this) not in (None, *TEXT_TYPES) or (_is_positive(start) and plain):
        return node
    return call("pg_substring", node.this, start, *([length] if length is not None else []))


def _bytes_part(node: exp.Substring, start: exp.Expr | None, length: exp.Expr | None) -> exp.Expr:
    """A part of bytes, which DuckDB has of texts alone: by their hexadecimal digits."""
    if start is None or not _is_positive(start) or (length is not None and not _is_positive(length)):
        raise SqlNotSupported(
            "substring() of BYTEA at such places is not supported", next_step="Use places from 1."
        )
    first = exp.Literal.number(2 * int(start.name) - 1)
    digits = () if length is None else (exp.Literal.number(2 * int(length.name)),)
    part = call("unhex", call("substring", call("hex", node.this), first, *digits))
    part.type = exp.DataType(this=exp.DType.VARBINARY)
    return part


def _is_positive(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and node.name.isdecimal() and int(node.name) > 0


def renamed(name: str) -> Rule:
    return lambda node: call(name, *node.expressions)


def _pad(name: str) -> Rule:
    def padded(node: Any) -> exp.Expr:
        fill = node.args.get("fill_pattern") or exp.Literal.string(" ")
        return call(name, node.this, call("pg_padded_length", node.expression), fill)

    return padded


def pad(node: exp.Pad) -> exp.Expr:
    return _pad("lpad" if node.args.get("is_left") else "rpad")(node)


_CAST_IN_CONCAT = {*JSON_TYPES, *BINARY_TYPES, exp.DType.ARRAY}


def rewrite_concat(node: exp.Expr) -> exp.Expr:
    """In concat() a boolean is t or f, and a number as its cast writes it."""
    for item in list(node.expressions):
        if kind(item) in _CAST_IN_CONCAT and not is_vector(item):
            item.replace(rewrite_cast(exp.cast(item.copy(), "text")))
            continue
        if (text := value_text(item)) is not None:
            item.replace(text)
        if kind(item) == exp.DType.BOOLEAN:
            case = exp.Case(ifs=[exp.If(this=item.copy(), true=exp.Literal.string("t"))])
            case.append("ifs", exp.If(this=exp.Not(this=item.copy()), true=exp.Literal.string("f")))
            item.replace(case)
    return node


_TEXTS_OR_NULL = (*TEXT_TYPES, exp.DType.NULL)


def joined(node: exp.DPipe) -> exp.Expr:
    """Numbers beside texts as their casts write them; an array beside another, or beside an element."""
    if _is_array(node.this) or _is_array(node.expression):
        return _joined_arrays(node)
    sides = ((node.this, node.expression), (node.expression, node.this))
    if any(isinstance(side, exp.Null) and kind(other) in _TEXTS_OR_NULL for side, other in sides):
        # DuckDB computes NULL of no type.
        return exp.cast(node.copy(), "text") if isinstance(node.parent, (exp.Select, exp.Alias)) else node
    for side, other in sides:
        if (text := value_text(side)) is not None:
            side.replace(text)
        elif is_text_constant(side) and kind(other) in BINARY_TYPES:
            side.replace(bytea_constant(side))
    return node


def array_joined(node: exp.ArrayConcat) -> exp.Expr:
    """``array_cat(a, b)``."""
    if len(node.expressions) != 1:
        return node
    joined_arrays = exp.DPipe(this=node.this.copy(), expression=node.expressions[0].copy())
    joined_arrays.type = node.type
    return joined(joined_arrays)


_ARRAY_JOINS = ("LIST_CONCAT", "LIST_APPEND", "LIST_PREPEND")


def _is_array(node: exp.Expr) -> bool:
    # Inner joins are rewritten before outer ones.
    node = node.unnest()
    if isinstance(node, exp.Select) and node.selects:
        selected = node.selects[0].unalias()
        return isinstance(selected, exp.ArrayAgg) or kind(selected) == exp.DType.ARRAY
    return anonymous_name(node) in _ARRAY_JOINS or (kind(node) == exp.DType.ARRAY and not is_vector(node))


def _joined_arrays(node: exp.DPipe) -> exp.Expr:
    """``array || array``, ``array || element`` and ``element || array``, of which one is an array."""
    array, other = (node.this, node.expression) if _is_array(node.this) else (node.expression, node.this)
    if isinstance(other, exp.Null):
        # PostgreSQL takes a constant without a type for an array, too.
        result: exp.Expr = array.copy()
    elif isinstance(other, exp.Literal) and other.is_string:
        if array_constant(other.name) is None:
            raise SqlDataError(
                "malformed array literal",
                value=other.name[:60],
                next_step="Write ARRAY['a'], or 'a'::text for an element.",
            )
        type_arrays(node)
        result = call("list_concat", node.this, node.expression)
    elif _is_array(node.this) and _is_array(node.expression):
        result = exp.Case(default=call("list_concat", node.this, node.expression))
        # DuckDB joins two NULLs to an empty array.
        missing = exp.and_(
            *(exp.Is(this=side.copy(), expression=exp.Null()) for side in (node.this, node.expression))
        )
        result.set("ifs", [exp.If(this=missing, true=exp.Null())])
    else:
        result = call("list_append" if array is node.this else "list_prepend", node.this, node.expression)
    result.type = array.type
    return result


def split_part(node: exp.SplitPart) -> exp.Expr:
    if "part_index" not in node.args:
        return node
    return call("pg_split_part", node.this, node.args["delimiter"], node.args["part_index"])
