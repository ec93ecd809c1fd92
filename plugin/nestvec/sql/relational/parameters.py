"""Parameters as constants of the tree: DuckDB then gives them the types that PostgreSQL would."""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from typing import Any

from sqlglot import exp

from nestvec.sql.bind.params import PARAMETER_NODES, Params, check_characters, to_python
from nestvec.sql.bind.select_list import output_name
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.source import SourceText
from nestvec.sqltypes.intervals import interval_parts

_MAX_ITEMS = 100_000
"""Elements of a list parameter."""


def bind_parameters(source: SourceText, tree: exp.Expr, params: Params) -> exp.Expr:
    """Replace parameters by their values, except for vectors in distances. Returns the tree.

    Raises SqlSyntaxError for a parameter without a value, SqlTypeMismatch for a value of no SQL type.
    """
    for node in list(tree.find_all(*PARAMETER_NODES)):
        value = params.value(source, node)
        if isinstance(value, (list, tuple, bytes, bytearray, dict)) and _in_distance(node):
            continue
        constant = _constant(source, node, value)
        constant.meta.update(node.meta)
        node.replace(constant)
        if isinstance(constant, exp.Array):
            _name_cast(constant)
    return tree


def _name_cast(array: exp.Expr) -> None:
    """Name a column that is a parameter's cast by its type: that of a constant array has another name."""
    item = array
    while isinstance(item.parent, (exp.Cast, exp.Paren)):
        item = item.parent
    cast = item.unnest()
    if isinstance(item.parent, exp.Select) and item.arg_key == "expressions" and isinstance(cast, exp.Cast):
        name = output_name(SourceText(""), exp.Cast(this=exp.Null(), to=cast.args["to"].copy()))
        item.replace(exp.alias_(item.copy(), name, quoted=True))


def check_in_lists(source: SourceText, tree: exp.Expr, params: Params) -> None:
    """Raise SqlSyntaxError for IN without a list in parentheses; a parameter that is a list will do.

    One with NULL in it, or that is NULL, is written as a list in parentheses.
    """
    for node in list(tree.find_all(exp.In)):
        field = node.args.get("field")
        if isinstance(field, PARAMETER_NODES):
            value = to_python(params.value(source, field))
            if value is not None and not isinstance(value, (list, tuple, set, frozenset)):
                raise source.type_mismatch("IN needs a list", value, field, "Pass a list, or write =.")
            items = [None] if value is None else list(value)
            if any(item is None for item in items):
                # DuckDB passes over NULL in a list, of which NOT IN is never true.
                node.set("field", None)
                node.set("expressions", [_constant(source, field, item) for item in items])
        elif field is not None:
            raise source.syntax_error(
                "IN needs a list in parentheses", field, "Write IN (…), or = ANY(…) for an array."
            )
        elif not any(node.args.get(part) for part in ("expressions", "query", "unnest")):
            raise source.syntax_error("the list of IN is empty", node, "Write at least one value.")


def _in_distance(node: exp.Expr) -> bool:
    parent = node.parent
    while isinstance(parent, (exp.Paren, exp.Cast, exp.Binary)) and not isinstance(parent, VectorDistance):
        parent = parent.parent
    return isinstance(parent, VectorDistance)


def _constant(source: SourceText, node: exp.Expr, value: Any) -> exp.Expr:
    """A value as a constant of SQL."""
    value = to_python(value)
    if value is None:
        return exp.Null()
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, str):
        check_characters(source, value, node)
        return exp.Literal.string(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        if len(value) > _MAX_ITEMS:
            raise source.type_mismatch(
                f"a list parameter has more than {_MAX_ITEMS:,} values", len(value), node, "Pass fewer."
            )
        return exp.Array(expressions=[_constant(source, node, item) for item in value])
    if isinstance(value, decimal.Decimal):
        return exp.cast(exp.Literal.string(f"{value:f}"), _decimal_type(source, node, value))
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return exp.cast(exp.Literal.string(value.isoformat(" ")), "timestamptz")
    for kind, type_name, text in _TYPED:
        if isinstance(value, kind):
            try:
                return exp.cast(exp.Literal.string(text(value)), type_name)
            except TypeError as error:
                raise source.data_error(
                    "the parameter cannot be written as JSON",
                    str(error),
                    node,
                    "Use only JSON types, and integers of 64 bits.",
                ) from error
    raise source.type_mismatch(
        "the parameter has no SQL type",
        type(value).__name__,
        node,
        "Pass a string, a number, a date, a list.",
    )


_MAX_DIGITS = 38
"""Digits of DuckDB's widest NUMERIC."""
_LEAST_BIGINT = -(1 << 63)


def _number(value: int | float) -> exp.Expr:
    if isinstance(value, float):
        text = repr(value) if math.isfinite(value) else str(value)
        return exp.cast(exp.Literal.string(text), "double")
    if value == _LEAST_BIGINT:  # its digits without the sign would be a NUMERIC
        return exp.cast(exp.Literal.string(str(value)), "bigint")
    number = exp.Literal.number(abs(value))
    return exp.Neg(this=number) if value < 0 else number


def _decimal_type(source: SourceText, node: exp.Expr, value: decimal.Decimal) -> str:
    """The NUMERIC of DuckDB that holds all digits of a number. Raises SqlDataError beyond 38 digits."""
    if not value.is_finite():
        return "double"
    places = max(0, -int(value.as_tuple().exponent))
    width = max(len(f"{abs(value):f}".replace(".", "")), places)
    if width > _MAX_DIGITS:
        raise source.data_error(
            f"a number has more than {_MAX_DIGITS} digits",
            str(value)[:60],
            node,
            "Round it, or pass a float.",
        )
    return f"decimal({max(18, width)}, {places})"


def _interval(value: datetime.timedelta) -> str:
    months, days, microseconds = interval_parts(value)
    return f"{months} months {days} days {microseconds} microseconds"


def _hex(value: bytes) -> str:
    return f"\\x{value.hex()}"


_TYPED: tuple[tuple[Any, str, Any], ...] = (
    (datetime.datetime, "timestamp", lambda value: value.isoformat(" ")),
    (datetime.date, "date", lambda value: value.isoformat()),
    (datetime.time, "time", lambda value: value.isoformat()),
    (datetime.timedelta, "interval", lambda value: _interval(value)),
    (uuid.UUID, "uuid", str),
    ((bytes, bytearray), "blob", _hex),
    (dict, "jsonb", lambda value: _json(value)),
)


def _json(value: Any) -> str:
    import orjson  # noqa: PLC0415

    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
