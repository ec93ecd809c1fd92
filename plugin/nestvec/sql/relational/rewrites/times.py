"""Parts of times, and times cut to a unit."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.datetime_texts import DATETIME_TYPES
from nestvec.sql.relational.rewrites.nodes import call, kind

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
    name = unit.name.lower()
    macro = "pg_cut_century" if name in _FROM_YEAR_ONE else "pg_cut_time"
    return call(macro, exp.Literal.string(name), value)
