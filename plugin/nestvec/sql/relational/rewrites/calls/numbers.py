"""Functions of NUMERICs: how many digits they show."""

from __future__ import annotations

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import Rule, call, is_text_constant


def shown_places(name: str) -> Rule:
    """``scale(x)`` and ``min_scale(x)``, of the text of a number."""

    def places(node: exp.Anonymous) -> exp.Expr:
        (number,) = node.expressions
        if is_text_constant(number):
            number = call("pg_numeric", exp.Literal.string("value"), number, exp.Literal.string(""))
        return call(name, exp.cast(number.copy(), "text"))

    return places
