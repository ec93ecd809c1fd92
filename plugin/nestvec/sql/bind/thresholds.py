"""Thresholds in WHERE on the value that ranks the rows.

Rows come best first, so the rows that pass a threshold are the first ones of the ranking. It can therefore be
applied to the rows that a search returns, whatever LIMIT and OFFSET are.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from nestvec.sql.bind.order import find_measure, rank_monotonicity
from nestvec.sql.bind.values import Constant, Distance, ValueBinder, expression_sql
from nestvec.sql.parse.source import chain_operands, without_parens

COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPERATORS: Final[dict[type[exp.Expr], str]] = {exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_REVERSED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_WRITE = "Write v <=> 'text' < 0.4, or 1 - (v <=> 'text') > 0.6, combined with other conditions by AND."


@dataclass(frozen=True)
class Threshold:
    """A bound on how far away a row may be."""

    value: Distance
    comparison: str
    """A key of ``COMPARISONS``."""
    bound: float

    @property
    def sql(self) -> str:
        """The condition in SQL notation."""
        return f"({expression_sql(self.value)} {self.comparison} {self.bound!r})"


def split_thresholds(node: exp.Expr) -> tuple[list[exp.Expr], list[exp.Expr]]:
    """The terms of a WHERE on columns only, and those that contain a distance or a score."""
    node = without_parens(node)
    if find_measure(node) is None:
        return [node], []
    if not isinstance(node, exp.And):
        return [], [node]
    columns: list[exp.Expr] = []
    thresholds: list[exp.Expr] = []
    for term in chain_operands(node):
        of_columns, of_ranking = split_thresholds(term)
        columns += of_columns
        thresholds += of_ranking
    return columns, thresholds


def bind_threshold(binder: ValueBinder, node: exp.Expr) -> Threshold:
    """Bind one term. Raises SqlNotSupported if it is anything but a bound on how far away a row may be."""
    source, ranking = binder.scope.source, binder.ranking
    if ranking is None:
        raise source.not_supported(
            f"a distance in {binder.clause} without ORDER BY the same distance",
            node,
            "Order by it, and add LIMIT n.",
        )
    comparison = _OPERATORS.get(type(node))
    if comparison is None:
        raise source.not_supported(f"a distance in {binder.clause} other than a threshold", node, _WRITE)
    left, right = node.this, node.args["expression"]
    if find_measure(left) is None:
        left, right, comparison = right, left, _REVERSED[comparison]
    if find_measure(right) is not None or any(True for _ in right.find_all(exp.Column)):
        raise source.not_supported("a distance compared with anything but a constant", node, _WRITE)
    trend = rank_monotonicity(binder.scope, left, ranking)
    if trend == 0:
        raise source.not_supported("a distance compared with anything but a constant", node, _WRITE)
    if (trend > 0) is not (comparison in ("<", "<=")):
        raise source.not_supported(
            "a threshold that excludes the nearest rows",
            node,
            "Rows come nearest first: bound the distance from above.",
        )
    value, bound = binder.bind(left).expression, binder.bind(right).expression
    number = bound.value if isinstance(bound, Constant) else None
    if not isinstance(value, Distance) or isinstance(number, bool) or not isinstance(number, (int, float)):
        raise source.not_supported("a distance compared with anything but a number", node, _WRITE)
    return Threshold(value, comparison, number)
