"""Parts of times."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import call

_OF_A_SECOND: Final = {"SECOND": 1_000_000.0, "SECONDS": 1_000_000.0, "MILLISECONDS": 1_000.0}


def time_part(node: exp.Extract) -> exp.Expr:
    """``extract(second FROM t)`` has a fraction, which DuckDB cuts off."""
    part, value = node.name, node.expression
    divisor = _OF_A_SECOND.get(part.upper())
    if divisor is None:
        return call("date_part", exp.Literal.string(part.lower()), value)
    micros = call("date_part", exp.Literal.string("microseconds"), value)
    return exp.paren(exp.Div(this=micros, expression=exp.Literal.number(divisor)))
