"""to_char(), to_date() and to_timestamp()."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.datetime_texts import DATETIME_TYPES
from nestvec.sql.relational.rewrites.nodes import (
    FLOAT_TYPES,
    INTEGERS,
    call,
    float_text,
    is_text_constant,
    kind,
)
from nestvec_schemas.errors import SqlNotSupported

_DIGITS: Final = {exp.DType.FLOAT: 6, exp.DType.DOUBLE: 15}


def format_value(node: exp.Anonymous) -> exp.Expr:
    """``to_char(value, pattern)``; a day is taken for a moment of the session's zone."""
    value, pattern = node.expressions
    type_ = kind(value)
    if type_ in DATETIME_TYPES and type_ != exp.DType.TIME:
        zoned = type_ in (exp.DType.TIMESTAMPTZ, exp.DType.DATE)
        return call("pg_to_char_moment", value, pattern, exp.Boolean(this=zoned))
    if type_ in (exp.DType.INTERVAL, exp.DType.TIME):
        if type_ == exp.DType.TIME:
            value = call("to_microseconds", call("epoch_us", value))
        return call("pg_to_char_interval", value, pattern)
    if type_ in FLOAT_TYPES:
        text = float_text(value, type_)
    elif type_ in INTEGERS or type_ == exp.DType.DECIMAL:
        text = exp.cast(value.copy(), "text")
    elif type_ is None and not is_text_constant(value):
        return call("pg_to_char", value, pattern)
    else:
        raise SqlNotSupported(
            "to_char() of a value that is neither a number nor a time is not supported",
            next_step="Cast it, for example to timestamp or numeric.",
        )
    return call("pg_format_number", text, pattern, exp.Literal.number(_DIGITS.get(type_, 0)))


def read_date(node: exp.Anonymous) -> exp.Expr:
    """``to_date(text, pattern)``."""
    return call("pg_to_date", *node.expressions)


def read_timestamp(node: exp.Anonymous) -> exp.Expr:
    """``to_timestamp(text, pattern)``; in the session's zone, UTC."""
    return call("make_timestamptz", call("pg_read_moment", *node.expressions))
