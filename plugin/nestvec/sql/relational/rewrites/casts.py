"""Casts, which are stricter in PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlglot import exp

from nestvec.sql.relational.rewrites.arrays import typed_array
from nestvec.sql.relational.rewrites.bytes_and_times import (
    BINARY_TYPES,
    BLANK_PADDED_TYPES,
    bytea_constant,
    hex_text,
    rewrite_bytes_or_time,
)
from nestvec.sql.relational.rewrites.datetime_texts import DATETIME_TYPES, datetime_of_text
from nestvec.sql.relational.rewrites.functions import sized_bits, varying_bits
from nestvec.sql.relational.rewrites.nodes import (
    DAYS_AND_MOMENTS,
    FLOAT_TYPES,
    JSON_TYPES,
    TEXT_TYPES,
    anonymous_name,
    call,
    float_text,
    is_text_constant,
    is_vector,
    kind,
    value_text,
)
from nestvec.sql.relational.rewrites.numbers.null_operands import decides_rows, is_null
from nestvec.sql.relational.rewrites.times import interval_constant
from nestvec.sqltypes.jsonb import jsonb_text
from nestvec_schemas.errors import SqlNotSupported

_SEARCH_WORDS = {"TSVECTOR", "TSQUERY"}


_RANGES = {
    exp.DType.INT4RANGE, exp.DType.INT8RANGE, exp.DType.NUMRANGE, exp.DType.DATERANGE, exp.DType.TSRANGE,
    exp.DType.TSTZRANGE,
}  # fmt: skip
_MAX_DIGITS = 38
_PLAIN_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")


_WORDS_OF_INTEGERS = {
    exp.DType.BIGINT: "bigint", exp.DType.INT: "integer", exp.DType.SMALLINT: "smallint",
}  # fmt: skip


def rewrite_cast(node: exp.Cast) -> exp.Expr:
    special = rewrite_bytes_or_time(node)
    if special is not None:
        return special
    to = node.args["to"]
    if to.this in _RANGES:
        raise SqlNotSupported(
            f"the type {to.sql('postgres').lower()} is not supported",
            next_step="Keep both bounds, low <= x AND x < high.",
        )
    if isinstance(node.this.unnest(), exp.Tuple) or anonymous_name(node.this) == "ROW":
        raise SqlNotSupported("a cast of a row is not supported", next_step="Cast its values, one by one.")
    word = to.args["kind"].name.upper() if to.this == exp.DType.USERDEFINED and to.args.get("kind") else ""
    if word in _SEARCH_WORDS:
        raise SqlNotSupported(
            f"the type {word.lower()} is not supported",
            next_step="Create the column with BM25, and write WHERE body @@ 'words'.",
        )
    if word == "VARBIT":
        return varying_bits(node)
    if to.this == exp.DType.ARRAY and isinstance(node.this, exp.Literal) and node.this.name.startswith("{"):
        return typed_array(node.this, to.expressions[0].this if to.expressions else None)
    if to.this in JSON_TYPES:
        _prepare_document(node)
    if to.this in TEXT_TYPES and (text := _text_of_vector(node.this)) is not None:
        return text
    if to.this in TEXT_TYPES and kind(node.this) == exp.DType.JSONB:
        return call("pg_json_print", node.this)
    if to.this in TEXT_TYPES and kind(node.this) == exp.DType.ARRAY:
        return _array_text(node.this)
    if kind(node.this) in TEXT_TYPES and to.this in _WORDS_OF_INTEGERS:
        word = exp.Literal.string(_WORDS_OF_INTEGERS[to.this])
        node.set("this", call("pg_whole", node.this, word))
        return node
    if kind(node.this) in TEXT_TYPES and to.this in FLOAT_TYPES:
        return _float(node)
    if kind(node.this) in TEXT_TYPES and to.this == exp.DType.BOOLEAN:
        return call("pg_boolean", node.this)
    if kind(node.this) in TEXT_TYPES and to.this in DATETIME_TYPES:
        return datetime_of_text(node.this, to.this)
    if to.this in exp.DataType.INTEGER_TYPES and kind(node.this) == exp.DType.DECIMAL:
        # Halves of a NUMERIC go away from zero, which DuckDB has as doubles at times.
        node.set("this", call("round", node.this))
        return node
    if to.this in (*TEXT_TYPES, exp.DType.BPCHAR) and (text := _text(node)) is not None:
        return text
    if to.this == exp.DType.INTERVAL:
        return interval_constant(node)
    if to.this == exp.DType.BIT:
        return sized_bits(node)
    return _numeric(node) if to.this == exp.DType.DECIMAL else node


def _float(node: exp.Cast) -> exp.Expr:
    """A cast of a text to a float: DuckDB reads a number that is too large as infinity."""
    checked = call("pg_float_of", node.this, node)
    checked.type = node.args["to"].copy()
    return checked


def _prepare_document(node: exp.Cast) -> None:
    """Make a cast to JSON one of DuckDB: ``jsonb`` has the last of equal keys, ``json`` keeps its text."""
    to, type_ = node.args["to"], kind(node.this)
    if to.this == exp.DType.JSONB and is_text_constant(node.this):
        node.set("this", exp.Literal.string(jsonb_text(node.this.name)))
    elif to.this == exp.DType.JSONB and type_ in {exp.DType.JSON, *TEXT_TYPES}:
        node.set("this", call("pg_json_print", exp.cast(node.this.copy(), "json")))
    elif to.this == exp.DType.JSON and type_ == exp.DType.JSONB:
        node.set("this", call("pg_json_print", node.this))
    node.set("to", exp.DataType.build("json"))


def _numeric(node: exp.Cast) -> exp.Cast:
    """A cast to NUMERIC."""
    to, type_ = node.args["to"], kind(node.this)
    node.set("to", _sized_numeric(to) if to.expressions else _unsized_numeric(node.this))
    if type_ in _SIGNIFICANT_DIGITS:
        shown = exp.Literal.string(f"{{:.{_SIGNIFICANT_DIGITS[type_]}g}}")
        node.set("this", call("format", shown, exp.cast(node.this.copy(), "double")))
    return node


_SIGNIFICANT_DIGITS = {exp.DType.FLOAT: 6, exp.DType.DOUBLE: 15}
"""Digits of a REAL and of a double as a NUMERIC."""


def _text(node: exp.Cast) -> exp.Expr | None:
    """A cast to a type of texts; None where DuckDB's is PostgreSQL's.

    CHAR(n) is not padded, and is without the blanks at its end: in PostgreSQL they count in output, LIKE,
    concat() and octet_length() alone.
    """
    to, text = node.args["to"], value_text(node.this)
    is_blank_padded = to.this in BLANK_PADDED_TYPES
    size = to.expressions[0].this if to.expressions else None
    if size is None and is_blank_padded and to.this != exp.DType.BPCHAR:
        size = exp.Literal.number(1)
    if isinstance(size, exp.Literal) and (is_blank_padded or to.this == exp.DType.VARCHAR):
        text = call("left", text or exp.cast(node.this.copy(), "text"), size)
    if is_blank_padded:
        text = call("rtrim", text or exp.cast(node.this.copy(), "text"), exp.Literal.string(" "))
    return text


def _sized_numeric(to: exp.DataType) -> exp.DataType:
    """A NUMERIC of more digits than DuckDB has: as many before the point as it has beside those after it.

    A number with more is an error of DuckDB.
    """
    sizes = [int(size.name) for size in to.expressions if size.name.isdecimal()]
    if len(sizes) == 2 and sizes[0] > _MAX_DIGITS >= sizes[1]:
        return exp.DataType.build(f"decimal({_MAX_DIGITS}, {sizes[1]})")
    return to


def _text_of_vector(value: exp.Expr) -> exp.Expr | None:
    """A vector as pgvector writes it; None for another value."""
    return call("pg_vector_text", value) if is_vector(value) else None


def blank_padded_constant(node: exp.Expr) -> exp.Expr:
    """A constant in quotes beside a CHAR(n), without the blanks at its end."""
    return exp.Literal.string(node.name.rstrip(" "))


def numeric_constant(node: exp.Expr) -> exp.Expr:
    """A constant in quotes beside a NUMERIC: not rounded to the places of the other side."""
    return exp.cast(node.copy(), _unsized_numeric(node))


def type_items(node: exp.Expr) -> exp.Expr:
    """Constants in quotes in an array, coalesce(), CASE and their like: of the type beside them."""
    if isinstance(node, exp.Nullif) and is_null(node.this) and not decides_rows(node):
        # No more is computed for it, as in PostgreSQL.
        null: exp.Expr = node.this.copy()
        return null
    if isinstance(node, exp.Case):
        items = [*(branch.args["true"] for branch in node.args["ifs"]), node.args.get("default")]
    else:
        items = [item for arg in node.args.values() for item in (arg if isinstance(arg, list) else [arg])]
    values = [item for item in items if isinstance(item, exp.Expr)]
    convert = _conversion([value for value in values if not is_text_constant(value)])
    if convert is not None:
        for value in filter(is_text_constant, values):
            value.replace(convert(value))
    if isinstance(node, (exp.Greatest, exp.Least)) and kind(node) == exp.DType.INTERVAL:
        # DuckDB compares their months first, whatever the days.
        name = "list_max" if isinstance(node, exp.Greatest) else "list_min"
        return call(
            name, exp.Array(expressions=[node.this.copy(), *(item.copy() for item in node.expressions)])
        )
    return node


def _conversion(values: list[exp.Expr]) -> Callable[[Any], exp.Expr] | None:
    """What makes values of constants in quotes beside these; None where DuckDB converts them itself."""
    kinds = {kind(value) for value in values}
    times = kinds & DATETIME_TYPES.keys()
    if exp.DType.DECIMAL in kinds:
        return numeric_constant
    if len(times) == 1:
        return partial(datetime_of_text, type_=times.pop())
    if kinds & BINARY_TYPES:
        return bytea_constant
    array = next((value.type for value in values if kind(value) == exp.DType.ARRAY), None)
    if array is None or not array.expressions or any(map(is_vector, values)):
        return None
    return partial(typed_array, element=array.expressions[0].this)


def _unsized_numeric(value: exp.Expr) -> exp.DataType:
    """A type of DuckDB with the digits of a NUMERIC without a size, which DuckDB rounds to three decimals."""
    constant = value.unnest()
    text = constant.name.strip() if isinstance(constant, exp.Literal) else ""
    if _PLAIN_NUMBER.fullmatch(text):
        places = len(text.partition(".")[2])
        # More digits than 38 are an error of DuckDB, not a rounded double.
        return exp.DataType.build(f"decimal({max(18, len(text))}, {places})")
    if kind(value) in exp.DataType.INTEGER_TYPES:
        return exp.DataType.build("decimal(20, 0)")
    return exp.DataType.build("decimal(38, 15)")


def _array_text(node: exp.Expr) -> exp.Expr:
    """An array in PostgreSQL's notation, ``{1,NULL,"a b"}``."""
    return call("pg_array_text", item_texts(node))


def item_texts(node: exp.Expr) -> exp.Expr:
    """The items of an array as PostgreSQL writes them."""
    element = node.type.expressions[0].this if node.type and node.type.expressions else None
    item: exp.Expr = exp.to_identifier("x")
    if element in FLOAT_TYPES:
        text: exp.Expr = float_text(item, element)
    elif element in BINARY_TYPES:
        text = hex_text(item)
    elif element == exp.DType.INTERVAL:
        text = call("pg_interval_text", item)
    elif element in DAYS_AND_MOMENTS:
        text = call("pg_day_text", exp.cast(item, "text"))
    elif element == exp.DType.BOOLEAN:
        text = call("left", exp.cast(item, "text"), exp.Literal.number(1))
    elif element == exp.DType.JSONB:
        text = call("pg_json_print", item)
    else:
        text = exp.cast(item, "text")
    return call("list_transform", node, exp.Lambda(this=text, expressions=[exp.to_identifier("x")]))
