"""How an expression follows the number that rows are ranked by: whether it puts them in the same order."""

from __future__ import annotations

from typing import Final

from nestvec.sql.bind.expressions.expressions import Constant, Distance, Expression, FunctionCall
from nestvec.sql.bind.vectors.nearest import FusedRanking, Ranking, RerankScore

STRICT: Final = 2
"""Two rows with different distances have different values."""

_NON_STRICT: Final = {
    "round",
    "floor",
    "ceil",
    "trunc",
    "smallint",
    "int",
    "bigint",
    "real",
    "sign",
    "exp",
    "sqrt",
}
_STRICT_FUNCTIONS: Final = {"float"}


def monotonicity(expression: Expression) -> int:
    """2 where it rises with the number, 1 where it does so in steps, -2 and -1 where it falls; else 0."""
    if isinstance(expression, Distance):
        return STRICT
    if not isinstance(expression, FunctionCall) or not expression.arguments:
        return 0
    first, *others = expression.arguments
    if expression.name == "negative":
        return -monotonicity(first)
    if expression.name in _STRICT_FUNCTIONS:
        return monotonicity(first)
    if expression.name in _NON_STRICT and all(isinstance(argument, Constant) for argument in others):
        return _sign(monotonicity(first))
    if len(others) != 1:
        return 0
    return _arithmetic(expression.name, first, others[0])


def rank_monotonicity(expression: Expression, ranking: Ranking | RerankScore) -> int:
    """The same, of how far down a row stands: a distance rises, a score falls."""
    trend = monotonicity(expression)
    return -trend if isinstance(ranking, (FusedRanking, RerankScore)) else trend


def _arithmetic(name: str, left: Expression, right: Expression) -> int:
    number = _number(right)
    if number is not None and name in ("+", "-", "*", "/"):
        return monotonicity(left) * (_sign(number) if name in ("*", "/") else 1)
    number = _number(left)
    if number is None or name not in ("+", "-", "*"):
        return 0
    return monotonicity(right) * {"+": 1, "-": -1, "*": _sign(number)}[name]


def _number(expression: Expression) -> float | None:
    value = expression.value if isinstance(expression, Constant) else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
