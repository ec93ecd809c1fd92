"""Parts of times, and times cut to a unit."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.datetime_texts import DATETIME_TYPES
from nestvec.sql.relational.rewrites.nodes import TEXT_TYPES, call, is_text_constant, kind
from nestvec_schemas.errors import SqlNotSupported

_OF_A_SECOND: Final = {"SECOND": 1_000_000.0, "SECONDS": 1_000_000.0, "MILLISECONDS": 1_000.0}


_FROM_YEAR_ONE: Final = ("century", "centuries", "millennium", "millenniums", "millennia")
"""Units that begin in 1, 101, 1001, …: DuckDB counts from 0."""


def time_part(node: exp.Extract) -> exp.Expr:
    """``extract(second FROM t)`` has a fraction, which DuckDB cuts off."""
    part, value = node.name, node.expression
    if part.upper() == "YEAR" and kind(value) in DATETIME_TYPES:
        return call("pg_year", value)
    divisor = _OF_A_SECOND.get(part.upper())
    if divisor is None:
        return call("date_part", exp.Literal.string(part.lower()), value)
    micros = call("date_part", exp.Literal.string("microseconds"), value)
    return exp.paren(exp.Div(this=micros, expression=exp.Literal.number(divisor)))


def cut_time(node: exp.TimestampTrunc) -> exp.Expr:
    """``date_trunc('month', t)``; of a date it is a TIMESTAMPTZ, as PostgreSQL takes the day for one."""
    unit, value = node.args["unit"], node.this
    if kind(value) == exp.DType.DATE:
        value = exp.cast(value.copy(), exp.DType.TIMESTAMPTZ)
    name, zone = unit.name.lower(), node.args.get("zone")
    if zone is not None:
        return _cut_in_zone(name, value, zone)
    macro = "pg_cut_century" if name in _FROM_YEAR_ONE else "pg_cut_time"
    return call(macro, exp.Literal.string(name), value)


def _cut_in_zone(unit: str, value: exp.Expr, zone: exp.Expr) -> exp.Expr:
    """``date_trunc('day', t, 'Europe/Berlin')``."""
    if unit in _FROM_YEAR_ONE or kind(value) != exp.DType.TIMESTAMPTZ:
        raise SqlNotSupported(
            "date_trunc() with a zone is supported for a TIMESTAMPTZ and units up to a decade alone",
            next_step="Cast the time to timestamptz.",
        )
    return call("pg_cut_in_zone", exp.Literal.string(unit), value, zone)


_YEARS_AND_MONTHS: Final = re.compile(r"(^|\s)([+-]?)([0-9]+)-([0-9]{1,2})(?=\s|$)")
"""Of the SQL standard, ``1-2``: a sign is that of both."""
_DAYS_AND_CLOCK: Final = re.compile(r"(mons) ([+-]?[0-9]+) ([0-9]+:)")
_NUMBER_AND_CLOCK: Final = re.compile(r"\s*([0-9]+) ([0-9]+:[0-9:.]+)\s*")
"""``3 4:05:06``, of which the first number is days."""
_ISO_8601: Final = re.compile(
    r"P(?=.)(?:([+-]?[0-9]+)Y)?(?:([+-]?[0-9]+)M)?(?:([+-]?[0-9]+)W)?(?:([+-]?[0-9]+)D)?"
    r"(?:T(?=.)(?:([+-]?[0-9]+)H)?(?:([+-]?[0-9]+)M)?(?:([+-]?[0-9]+(?:\.[0-9]{1,6})?)S)?)?"
)
"""``P1Y2M3DT4H5M6S``."""
_ISO_UNITS: Final = ("years", "mons", "weeks", "days", "hours", "minutes", "seconds")
_SIGN_APART: Final = re.compile(r"([+-])\s+(?=[0-9.])")
_PLUS: Final = re.compile(r"\+(?=[0-9.])")


def interval_constant(node: exp.Interval | exp.Cast) -> exp.Expr:
    """``INTERVAL '1 month - 1 day +02:00'``: DuckDB takes no blank behind a sign, and no plus."""
    text = node.this
    if isinstance(text, exp.Literal) and (iso := _ISO_8601.fullmatch(text.name)):
        parts = [f"{count} {unit}" for count, unit in zip(iso.groups(), _ISO_UNITS, strict=True) if count]
        node.set("this", exp.Literal.string(" ".join(parts).replace("+", "")))
        return node
    if isinstance(text, exp.Literal) and (days := _NUMBER_AND_CLOCK.fullmatch(text.name)):
        node.set("this", exp.Literal.string(f"{days[1]} days {days[2]}"))
        return node
    if isinstance(text, exp.Literal) and _YEARS_AND_MONTHS.search(text.name):
        units = _YEARS_AND_MONTHS.sub(r"\1\2\3 years \2\4 mons", text.name)
        text = exp.Literal.string(_DAYS_AND_CLOCK.sub(r"\1 \2 days \3", units))
        node.set("this", text)
    if isinstance(text, exp.Literal) and (_SIGN_APART.search(text.name) or "+" in text.name):
        node.set("this", exp.Literal.string(_PLUS.sub("", _SIGN_APART.sub(r"\1", text.name))))
    if isinstance(node, exp.Cast) and not is_text_constant(text) and kind(text) in TEXT_TYPES:
        pattern, digit = exp.Literal.string("[+]([0-9])"), exp.Literal.string(r"\1")
        node.set("this", call("regexp_replace", text, pattern, digit, exp.Literal.string("g")))
    return node


_CLOCKS: Final[dict[type[exp.Expr], str]] = {
    exp.CurrentDate: "today",
    exp.CurrentTime: "get_current_time",
    exp.CurrentTimestamp: "now",
    exp.Localtime: "current_localtime",
    exp.Localtimestamp: "current_localtimestamp",
}


def current_time(node: exp.Expr) -> exp.Expr:
    """The date or time as a call: DuckDB takes the word for a column that is named so."""
    return node if node.args.get("this") else call(_CLOCKS[type(node)])
