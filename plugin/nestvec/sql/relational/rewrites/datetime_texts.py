"""Texts as dates and times: DuckDB cuts off digits and passes over what follows a date."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import call, is_text_constant
from nestvec.sqltypes.datetimes import (
    date_to_days,
    days_to_date,
    micros_to_time,
    micros_to_timestamp,
    time_to_micros,
    timestamp_to_micros,
    timestamptz_to_micros,
)
from nestvec_schemas.errors import RowRejected

DATETIME_TYPES: Final = {
    exp.DType.DATE: "date",
    exp.DType.TIME: "time",
    exp.DType.TIMESTAMP: "timestamp",
    exp.DType.TIMESTAMPNTZ: "timestamp",
    exp.DType.TIMESTAMPTZ: "timestamptz",
}
"""PostgreSQL's names of types that a text may be read as."""

_BEYOND_PYTHON: Final = re.compile(r"[0-9]{5,6}-[0-9]{1,2}-[0-9]{1,2}(?: [0-9:.]*)?|-?infinity")
"""Texts that Python has no date for; DuckDB reads them as PostgreSQL does."""

_SYNTAX: Final = {"time": "time", "date": "date", "timestamp": "timestamp", "timestamptz": "timestamp"}


def datetime_of_text(text: exp.Expr, type_: exp.DType) -> exp.Expr:
    """A text as a date or a time; a constant is read now, others when the statement runs."""
    name = DATETIME_TYPES[type_]
    value = _constant(text.name, name) if is_text_constant(text) else None
    if value is None:
        moment: exp.Expr = call(f"pg_{name}_of", text)
    else:
        moment = exp.cast(exp.Literal.string(value), exp.DataType(this=type_, nested=False))
    moment.type = exp.DataType(this=type_, nested=False)
    return moment


def _constant(text: str, name: str) -> str | None:
    """The text in the notation that DuckDB reads as PostgreSQL does; None for an error."""
    plain = text.strip().lower()
    if name != "time" and _BEYOND_PYTHON.fullmatch(plain):
        return plain
    try:
        number = _NUMBERS[name](text)
    except RowRejected:
        return None
    if name == "date":
        return days_to_date(number).isoformat()
    if name == "time":
        return micros_to_time(number).isoformat()
    try:
        return micros_to_timestamp(number).isoformat(" ") + ("+00" if name == "timestamptz" else "")
    except OverflowError:
        return None


def datetime_number(text: str, name: str) -> int:
    """What a text stands for: days since 1970, microseconds since then, or since midnight.

    Raises ValueError in PostgreSQL's words.
    """
    try:
        return _NUMBERS[name](text)
    except RowRejected as error:
        syntax = error.cause.startswith("this is not a")
        cause = f"invalid input syntax for type {_SYNTAX[name]}" if syntax else error.cause
        raise ValueError(f"{cause}: '{text[:40]}'") from None


_NUMBERS: Final = {
    "date": lambda text: date_to_days(text, exact=False),
    "time": time_to_micros,
    "timestamp": timestamp_to_micros,
    "timestamptz": timestamptz_to_micros,
}
