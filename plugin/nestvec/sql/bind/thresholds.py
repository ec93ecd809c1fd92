"""Thresholds in WHERE on the number that the rows are ranked by.

Rows come best first. Of those that pass a threshold the best are the best of all, up to where it cuts: so it
is applied to the rows that are found, whatever LIMIT and OFFSET.
"""

from __future__ import annotations

from sqlglot import exp

from nestvec.sql.bind.expressions.binder import ExpressionBinder
from nestvec.sql.bind.expressions.nodes import Constant, Expression, FunctionCall, walk
from nestvec.sql.bind.expressions.special_forms import operands_of
from nestvec.sql.bind.order import find_measure, rank_monotonicity

_BELOW = {"<": 1, "<=": 1, ">": -1, ">=": -1}
_WRITE = "Write v <=> 'text' < 0.4, or 1 - (v <=> 'text') > 0.6, beside what else is asked with AND."


def split_thresholds(node: exp.Expr) -> tuple[list[exp.Expr], list[exp.Expr]]:
    """The terms of a WHERE that are on columns alone, and those that hold a distance or a score."""
    while isinstance(node, exp.Paren):
        node = node.this
    if find_measure(node) is None:
        return [node], []
    if not isinstance(node, exp.And):
        return [], [node]
    columns: list[exp.Expr] = []
    thresholds: list[exp.Expr] = []
    for term in operands_of(node):
        of_columns, of_ranking = split_thresholds(term)
        columns += of_columns
        thresholds += of_ranking
    return columns, thresholds


def bind_threshold(binder: ExpressionBinder, node: exp.Expr) -> Expression:
    """Bind one term. Raises SqlNotSupported where it is more than a bound on how far away a row may be."""
    source, ranking = binder.scope.source, binder.ranking
    if ranking is None:
        raise source.not_supported(
            f"a distance in {binder.clause} without ORDER BY the same distance",
            node,
            "Add ORDER BY it, and LIMIT n.",
        )
    if type(node) not in (exp.LT, exp.LTE, exp.GT, exp.GTE):
        raise source.not_supported(f"a distance in {binder.clause} other than a threshold", node, _WRITE)
    condition = binder.bind(node).expression
    sense = threshold_sense(condition, binder)
    if sense == 0:
        raise source.not_supported("a distance compared with anything but a constant", node, _WRITE)
    if sense < 0:
        raise source.not_supported(
            "a threshold that leaves out the nearest rows",
            node,
            "Rows come nearest first: bound the farthest.",
        )
    return condition


def threshold_sense(expression: Expression, binder: ExpressionBinder) -> int:
    """1 where a comparison keeps what is better than a constant, -1 where what is worse, else 0."""
    if binder.ranking is None or not isinstance(expression, FunctionCall) or expression.name not in _BELOW:
        return 0
    left, right = expression.arguments
    sense = _BELOW[expression.name]
    if _constant(left):
        left, right, sense = right, left, -sense
    if not _constant(right):
        return 0
    trend = rank_monotonicity(left, binder.ranking) * sense
    return (trend > 0) - (trend < 0)


def _constant(expression: Expression) -> bool:
    return all(isinstance(part, (Constant, FunctionCall)) for part in walk(expression))
