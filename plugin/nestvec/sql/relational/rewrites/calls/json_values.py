"""JSON made of values: ``json`` is a text with PostgreSQL's blanks, ``jsonb`` a document to be printed.

Documents are joined as texts: DuckDB would read 1.50 in one, and write 1.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.bytes_and_times import BINARY_TYPES, hex_text
from nestvec.sql.relational.rewrites.nodes import (
    DAYS_AND_MOMENTS,
    FLOAT_TYPES,
    JSON_TYPES,
    Rule,
    anonymous_name,
    call,
    float_text,
    is_text_constant,
    is_vector,
    kind,
    outside,
)

_NUMBERS: Final = ("PG_JSON_NUMBER", "PG_JSON_NUMERIC")
_NO_KEY: Final = "a key of a JSON object cannot be NULL"
_NULL: Final = exp.Literal.string("null")
_LINE: Final = exp.Literal.string("\n ")
_IS_ROW: Final = "json_row"
"""The key of a node's meta that says that it is the object of a row."""


def array_of_group(*, as_jsonb: bool) -> Rule:
    """``json_agg(…)`` and ``jsonb_agg(…)``; DuckDB's own function takes neither ORDER BY nor FILTER."""

    def array(node: exp.Expr) -> exp.Expr:
        items = (node.this if isinstance(node, exp.JSONArrayAgg) else node.expressions[0]).copy()
        holder = items.this if isinstance(items, exp.Order) else items
        is_distinct = isinstance(holder, exp.Distinct)
        source = holder.expressions[0] if is_distinct else holder
        item = exp.to_identifier("pg_item")
        item.type = source.type
        value = json_value(item if is_distinct else source, as_jsonb=as_jsonb)
        is_listed = as_jsonb and not _is_document(value)
        new = value if is_listed else json_text(value, as_jsonb=as_jsonb)
        has_lines = _is_structured(source) and not as_jsonb
        if has_lines:
            new.set("this", exp.DPipe(this=_LINE.copy(), expression=new.this.copy()))
        if not is_distinct and isinstance(items, exp.Order):
            items.set("this", new)
        gathered = exp.ArrayAgg(this=items if is_distinct or isinstance(items, exp.Order) else new)

        def document(wrapped: exp.Expr) -> exp.Expr:
            if is_distinct and new is not item:
                wrapped = call("list_transform", wrapped, exp.Lambda(this=new, expressions=[item.copy()]))
            if not is_listed:
                return _in_brackets(node, wrapped, ", ", has_lines=has_lines)
            array = call("to_json", wrapped)
            array.type = node.type
            return array

        if not isinstance(node.parent, (exp.Filter, exp.Window)):
            return document(gathered)
        node.replace(gathered)
        outside(gathered, document)
        return node

    return array


def object_of_group(node: exp.Expr) -> exp.Expr:
    """Keys and values of a group: ``jsonb`` has the last value of a key, of which DuckDB reads the first."""
    as_jsonb = isinstance(node, exp.JSONBObjectAgg)
    key, value = node.expressions or [node.this, node.args["expression"]]
    order = value if isinstance(value, exp.Order) else None
    value = json_value(value if order is None else order.this, as_jsonb=as_jsonb)
    is_alone = not isinstance(node.parent, (exp.Filter, exp.Window))
    if is_alone and order is None and as_jsonb and not _is_document(value):
        return _normal(node, call("json_group_object", key, value))
    comma: exp.Expr = exp.Literal.string("," if as_jsonb else ", ")
    if order is not None:
        comma = exp.Order(this=comma, expressions=[each.copy() for each in order.expressions])
    pair = call("concat", *_pair(key, value, ":" if as_jsonb else " : ", as_jsonb))
    gathered = call("string_agg", pair, comma)

    def document(pairs: exp.Expr) -> exp.Expr:
        if as_jsonb:
            return _normal(node, _between(node, ("{", "}"), pairs))
        return _between(node, ("{ ", " }"), pairs)

    if is_alone:
        return document(gathered)
    node.replace(gathered)
    outside(gathered, document)
    return node


def array_of_values(*, as_jsonb: bool) -> Rule:
    """``json_build_array(1, 2)`` and ``jsonb_build_array(1, 2)``."""

    def array(node: exp.Anonymous) -> exp.Expr:
        values = [json_value(value, as_jsonb=as_jsonb) for value in node.expressions]
        if as_jsonb and not any(map(_is_document, values)):
            return call("json_array", *values)
        comma = exp.Literal.string("," if as_jsonb else ", ")
        parts = [part for value in values for part in (comma, json_text(value, as_jsonb=as_jsonb))][1:]
        return _document(node, exp.Literal.string("["), *parts, exp.Literal.string("]"))

    return array


def object_of_values(*, as_jsonb: bool, colon: str = " : ", comma: str = ", ") -> Rule:
    """``json_build_object('a', 1)``, whose keys may be repeated, and ``jsonb_build_object('a', 1)``."""

    def build(node: exp.Anonymous) -> exp.Expr:
        keys = node.expressions[::2]
        values = [json_value(value, as_jsonb=as_jsonb) for value in node.expressions[1::2]]
        pairs = list(zip(keys, values, strict=False))
        names = {key.name for key in keys if is_text_constant(key)}
        document: exp.Expr
        if as_jsonb and not any(map(_is_document, values)):
            document = call("json_object", *(part for pair in pairs for part in pair))
        else:
            parts: list[exp.Expr] = []
            for key, value in pairs:
                parts += [exp.Literal.string(comma), *_pair(key, value, colon, as_jsonb)]
            document = _document(node, exp.Literal.string("{"), *parts[1:], exp.Literal.string("}"))
        return document if not as_jsonb or len(names) == len(keys) else _normal(node, document)

    return build


def row_object(node: exp.Anonymous) -> exp.Expr:
    """``row_to_json(t)`` with its columns named, which PostgreSQL writes without blanks."""
    document = object_of_values(as_jsonb=False, colon=":", comma=",")(node)
    document.meta[_IS_ROW] = True
    return document


def document_of_value(*, as_jsonb: bool) -> Rule:
    """``to_json(x)`` and ``to_jsonb(x)``."""

    def document(node: exp.Anonymous) -> exp.Expr:
        value = json_value(node.expressions[0], as_jsonb=as_jsonb)
        if not _is_document(value):
            return call("to_json", value)
        text = json_text(value, as_jsonb=as_jsonb)
        return _as_document(node, text.this.copy())

    return document


def json_value(node: exp.Expr, *, as_jsonb: bool) -> exp.Expr:
    """A value of JSON: a timestamp has a T and minutes in its zone; intervals and REALs are their texts.

    NaN and the infinite numbers are strings, as are vectors: their texts. In ``jsonb`` numbers have no
    exponents.
    """
    if is_vector(node):
        return call("pg_vector_text", node)
    if kind(node) in FLOAT_TYPES and not as_jsonb:
        return call("pg_json_numeric", float_text(node, kind(node)))
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
    if kind(node) == exp.DType.ARRAY:
        return _array_value(node, as_jsonb)
    if kind(node) in DAYS_AND_MOMENTS:
        zone = exp.Literal.string(":00" if kind(node) == exp.DType.TIMESTAMPTZ else "")
        return call("pg_json_moment", exp.cast(node.copy(), "text"), zone)
    return node


def _array_value(array: exp.Expr, as_jsonb: bool) -> exp.Expr:
    """An array as a value of JSON: a document of its items, unless DuckDB writes them as PostgreSQL does."""
    item = exp.to_identifier("pg_item")
    item.type = array.type.expressions[0] if array.type and array.type.expressions else None
    value = json_value(item, as_jsonb=as_jsonb)
    if value is item and not _is_document(value):
        return array
    if not _is_document(value):
        return call("list_transform", array, exp.Lambda(this=value, expressions=[item]))
    text = exp.Lambda(this=json_text(value, as_jsonb=as_jsonb), expressions=[item.copy()])
    item.type = exp.DataType(this=exp.DType.JSONB if as_jsonb else exp.DType.JSON)
    return _in_brackets(item, call("list_transform", array, text), ",")


def json_text(value: exp.Expr, *, as_jsonb: bool) -> exp.Expr:
    """The text of a value in a document, ``null`` of NULL; of the other type it is that type's."""
    text: exp.Expr
    if not _is_document(value):
        text = exp.cast(call("to_json", value), "text")
    elif kind(value) == (exp.DType.JSON if as_jsonb else exp.DType.JSONB):
        text = call("pg_json_print", value)
    else:
        text = exp.cast(value.copy(), "text")
    return exp.Coalesce(this=text, expressions=[_NULL.copy()])


def _is_document(value: exp.Expr) -> bool:
    """Whether a value, of DuckDB or of the statement, is JSON already."""
    return kind(value) in JSON_TYPES or anonymous_name(value.unnest()) in _NUMBERS


def _is_structured(value: exp.Expr) -> bool:
    """Whether PostgreSQL begins a line for each value of ``json_agg()``: an array, or a row."""
    value = value.unnest()
    if isinstance(value, exp.Case):
        return any(_is_structured(branch.args["true"]) for branch in value.args["ifs"])
    is_array = kind(value) == exp.DType.ARRAY and not is_vector(value)
    return is_array or _IS_ROW in value.meta


def _pair(key: exp.Expr, value: exp.Expr, colon: str, as_jsonb: bool) -> Sequence[exp.Expr]:
    """The texts of a key and its value in an object."""
    text = exp.cast(call("to_json", exp.cast(key.copy(), "text")), "text")
    checked = exp.Coalesce(this=text, expressions=[call("error", exp.Literal.string(_NO_KEY))])
    return checked, exp.Literal.string(colon), json_text(value, as_jsonb=as_jsonb)


def _in_brackets(node: exp.Expr, texts: exp.Expr, comma: str, *, has_lines: bool = False) -> exp.Expr:
    """A list of texts as an array of JSON; NULL of NULL. The first of those that begin a line does not."""
    joined = call("pg_joined_texts", texts, exp.Literal.string(comma))
    if has_lines:
        joined = call("regexp_replace", joined, exp.Literal.string("^\n "), exp.Literal.string(""))
    return _between(node, ("[", "]"), joined)


def _between(node: exp.Expr, ends: tuple[str, str], text: exp.Expr) -> exp.Expr:
    """A document that begins and ends so; NULL of NULL."""
    opened = exp.DPipe(this=exp.Literal.string(ends[0]), expression=text.copy())
    return _as_document(node, exp.paren(exp.DPipe(this=opened, expression=exp.Literal.string(ends[1]))))


def _document(node: exp.Expr, *parts: exp.Expr) -> exp.Expr:
    return _as_document(node, call("concat", *parts))


def _normal(node: exp.Expr, document: exp.Expr) -> exp.Expr:
    """A document of ``jsonb``: with the last value of a key alone."""
    return _as_document(node, call("pg_json_print", document))


def _as_document(node: exp.Expr, text: exp.Expr) -> exp.Expr:
    """A text as a document of the type of a node."""
    document = exp.Cast(this=text, to=exp.DataType.build("json"))
    document.type = node.type
    return document
