"""JSON made of values, as texts: DuckDB would read 1.50 in a document, and write 1.5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import JSON_TYPES, anonymous_name, call, kind

_NUMBERS: Final = ("PG_JSON_NUMBER", "PG_JSON_NUMERIC")
_NULL: Final = exp.Literal.string("null")


def array_document(values: Sequence[exp.Expr]) -> exp.Expr:
    """``[1, 1.50]``."""
    parts = [part for value in values for part in (exp.Literal.string(","), item_text(value))]
    return _document("[", parts[1:], "]")


def object_document(pairs: Sequence[exp.Expr]) -> exp.Expr:
    """``{"a": 1.50}``, of keys and values in turn."""
    texts = [pair_text(key, value) for key, value in zip(pairs[::2], pairs[1::2], strict=False)]
    return _document("{", [part for text in texts for part in (exp.Literal.string(","), text)][1:], "}")


def pair_text(key: exp.Expr, value: exp.Expr) -> exp.Expr:
    """A key and its value in an object."""
    text = exp.cast(call("to_json", exp.cast(key.copy(), "text")), "text")
    checked = exp.Coalesce(this=text, expressions=[call("error", exp.Literal.string(_NO_KEY))])
    return call("concat", checked, exp.Literal.string(":"), item_text(value))


def in_braces(pairs: exp.Expr) -> exp.Expr:
    """An object of pairs that are joined already; NULL of none."""
    opened = exp.DPipe(this=exp.Literal.string("{"), expression=pairs.copy())
    return exp.cast(exp.paren(exp.DPipe(this=opened, expression=exp.Literal.string("}"))), "json")


_NO_KEY: Final = "a key of a JSON object cannot be NULL"


def list_document(items: exp.Expr) -> exp.Expr:
    """A list of documents of DuckDB as one."""
    item = exp.to_identifier("pg_item")
    text = exp.Coalesce(this=exp.cast(item.copy(), "text"), expressions=[_NULL.copy()])
    texts = call("list_transform", items, exp.Lambda(this=text, expressions=[item]))
    inner = call("array_to_string", texts, exp.Literal.string(","))
    joined = exp.DPipe(this=exp.Literal.string("["), expression=inner)
    return exp.cast(exp.paren(exp.DPipe(this=joined, expression=exp.Literal.string("]"))), "json")


def is_document(value: exp.Expr) -> bool:
    """Whether a value, of DuckDB or of the statement, is JSON already."""
    return kind(value) in JSON_TYPES or anonymous_name(value.unnest()) in _NUMBERS


def item_text(value: exp.Expr) -> exp.Expr:
    """A value in a document."""
    text = exp.cast(value.copy() if is_document(value) else call("to_json", value), "text")
    return exp.Coalesce(this=text, expressions=[_NULL.copy()])


def _document(opening: str, parts: Sequence[exp.Expr], closing: str) -> exp.Expr:
    return exp.cast(call("concat", exp.Literal.string(opening), *parts, exp.Literal.string(closing)), "json")
