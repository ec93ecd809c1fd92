"""Where in the statement an error of DuckDB belongs, as far as only one place can have raised it."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from nestvec.sql.relational.relations import RelationalPlan
from nestvec_schemas.errors import SqlError

_PLACES: Final[tuple[tuple[str, tuple[type[exp.Expr], ...]], ...]] = (
    ("division by zero", (exp.Div, exp.Mod, exp.IntDiv)),
    ("out of range", (exp.Add, exp.Sub, exp.Mul, exp.Cast, exp.Exp, exp.Pow, exp.Neg, exp.Sum)),
    ("invalid input syntax", (exp.Cast,)),
    ("square root", (exp.Sqrt,)),
    ("logarithm", (exp.Ln, exp.Log)),
    ("power", (exp.Pow,)),
)
"""Parts of causes, with the nodes that may have them."""


def located(plan: RelationalPlan, error: SqlError) -> SqlError:
    """The error with its position, if one part of the statement must have raised it."""
    if error.position is not None or plan.query is None:
        return error
    position = _function_position(plan, error)
    kinds = next((kinds for words, kinds in _PLACES if words in str(error.cause)), None)
    if position is None and kinds is not None:
        places = {plan.source.position(node) for node in plan.query.find_all(*kinds)} - {None}
        position = places.pop() if len(places) == 1 else None
    if position is None:
        return error
    placed = error.reworded()
    placed.statement, placed.position = plan.source.text, position
    return placed


def _function_position(plan: RelationalPlan, error: SqlError) -> int | None:
    match = re.fullmatch(r"the function (\S+)\(\) does not exist", str(error.cause))
    if match is None:
        return None
    words = (token for token in plan.source.tokens if token.text.lower() == match[1].lower())
    return next((token.start for token in words), None)
