"""Thresholds in WHERE on the value that ranks the rows.

Rows come best first, so the rows that pass a threshold are the first ones of the ranking. It can therefore be
applied to the rows that a search returns, whatever LIMIT and OFFSET are.
"""

from __future__ import annotations

from sqlglot import exp

from nestvec.sql.bind.expressions.binder import ExpressionBinder
from nestvec.sql.bind.expressions.nodes import Constant, Expression, FunctionCall, walk
from nestvec.sql.bind.order import find_measure, rank_monotonicity
from nestvec.sql.parse.source import chain_operands, without_parens

_SENSES = {"<": 1, "<=": 1, ">": -1, ">=": -1}
_WRITE = "Write v <=> 'text' < 0.4, or 1 - (v <=> 'text') > 0.6, combined with other conditions by AND."


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


def bind_threshold(binder: ExpressionBinder, node: exp.Expr) -> Expression:
    """Bind one term. Raises SqlNotSupported if it is anything but a bound on how far away a row may be."""
    source, ranking = binder.scope.source, binder.ranking
    if ranking is None:
        raise source.not_supported(
            f"a distance in {binder.clause} without ORDER BY the same distance",
            node,
            "Order by it, and add LIMIT n.",
        )
    if type(node) not in (exp.LT, exp.LTE, exp.GT, exp.GTE):
        raise source.not_supported(f"a distance in {binder.clause} other than a threshold", node, _WRITE)
    condition = binder.bind(node).expression
    sense = threshold_sense(condition, binder)
    if sense == 0:
        raise source.not_supported("a distance compared with anything but a constant", node, _WRITE)
    if sense < 0:
        raise source.not_supported(
            "a threshold that excludes the nearest rows",
            node,
            "Rows come nearest first: bound the distance from above.",
        )
    return condition


def threshold_sense(expression: Expression, binder: ExpressionBinder) -> int:
    """1 if a comparison keeps the rows before a rank, -1 if it keeps those after it, else 0."""
    if binder.ranking is None or not isinstance(expression, FunctionCall) or expression.name not in _SENSES:
        return 0
    left, right = expression.arguments
    sense = _SENSES[expression.name]
    if _is_constant(left):
        left, right, sense = right, left, -sense
    if not _is_constant(right):
        return 0
    trend = rank_monotonicity(left, binder.ranking) * sense
    return (trend > 0) - (trend < 0)


def _is_constant(expression: Expression) -> bool:
    return all(isinstance(part, (Constant, FunctionCall)) for part in walk(expression))
