"""Where in the statement an error of DuckDB belongs, as far as only one place can have raised it."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.relational.relations import RelationalPlan
from nestvec_schemas.errors import SqlError

_PLACES: Final[tuple[tuple[str, tuple[type[exp.Expr], ...]], ...]] = (
    ("division by zero", (exp.Div, exp.Mod, exp.IntDiv)),
    ("out of range", (exp.Add, exp.Sub, exp.Mul, exp.Cast, exp.Exp, exp.Pow, exp.Neg, exp.Sum)),
    ("invalid input syntax", (exp.Cast,)),
    ("escape character", (exp.Like, exp.ILike)),
    ("negative length", (exp.Substring,)),
    ("fields are counted", (exp.SplitPart,)),
    ("square root", (exp.Sqrt,)),
    ("logarithm", (exp.Ln, exp.Log)),
    ("power", (exp.Pow,)),
    (" dimensions ", (exp.Add, exp.Sub, exp.Mul, VectorDistance, exp.Avg)),
    ("expected ", (exp.Cast,)),
)
"""Parts of causes, with the nodes that may have them."""


def located(plan: RelationalPlan, error: SqlError) -> SqlError:
    """The error with its position, if one part of the statement must have raised it."""
    if error.position is not None or plan.query is None:
        return error
    position = _function_position(plan, error)
    position = _column_position(plan, error) if position is None else position
    position = _text_position(plan, error) if position is None else position
    kinds = next((kinds for words, kinds in _PLACES if words in str(error.cause)), None)
    if position is None and kinds is not None:
        places = {plan.source.position(node) for node in plan.query.find_all(*kinds)} - {None}
        position = places.pop() if len(places) == 1 else None
    if position is None:
        return error
    placed = error.reworded()
    placed.statement, placed.position = plan.source.text, position
    return placed


def _column_position(plan: RelationalPlan, error: SqlError) -> int | None:
    match = re.match(r"column (\S+) is neither in GROUP BY", str(error.cause))
    if match is None or plan.query is None:
        return None
    for column in plan.query.find_all(exp.Column):
        enclosing = column.find_ancestor(exp.AggFunc, exp.Group)
        if enclosing is None and column.name.lower() == match[1].lower():
            return plan.source.position(column)
    return None


def _text_position(plan: RelationalPlan, error: SqlError) -> int | None:
    """The only text of the statement that is no value of a type, where no cast is written."""
    match = re.match(r"invalid input syntax for type [\w ]+: '(.*)'$", str(error.cause), re.S)
    if match is None or plan.query is None:
        return None
    texts = [node for node in plan.query.find_all(exp.Literal) if node.is_string and node.name == match[1]]
    if len(texts) != 1 or isinstance(texts[0].parent, exp.Cast):
        return None
    return plan.source.position(texts[0])


def _function_position(plan: RelationalPlan, error: SqlError) -> int | None:
    match = re.match(r"(?:the function )?(\w+)(?:\(\))? does not (?:exist|take)", str(error.cause))
    if match is None:
        return None
    words = (token for token in plan.source.tokens if token.text.lower() == match[1].lower())
    return next((token.start for token in words), None)
