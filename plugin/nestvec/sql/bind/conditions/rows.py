"""Comparisons of rows of values, ``(a, b) < (1, 2)``, as comparisons of their parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from nestvec.sql.bind.conditions.nodes import Narrowed, Operator, all_of, any_of
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.source import without_parens

Narrow = Callable[[Scope, exp.Expr, bool], Narrowed]

_NODES: Final[dict[Operator, type[exp.Expr]]] = {
    "=": exp.EQ, "!=": exp.NEQ, "<": exp.LT, "<=": exp.LTE, ">": exp.GT, ">=": exp.GTE,
}  # fmt: skip
_STRICT: Final[dict[Operator, Operator]] = {"<": "<", "<=": "<", ">": ">", ">=": ">"}


def is_row(node: exp.Expr) -> bool:
    """Whether a node is ``(a, b)`` or ``ROW(a, b)``."""
    return _items(node) is not None


def _items(node: exp.Expr) -> list[exp.Expr] | None:
    node = without_parens(node)
    if isinstance(node, exp.Tuple) or (isinstance(node, exp.Anonymous) and str(node.this).upper() == "ROW"):
        return list(node.expressions)
    return None


def bind_rows(scope: Scope, node: exp.Expr, operator: Operator, narrow: Narrow) -> Narrowed:
    """``row operator row``."""
    left, right = _pair(scope, node, node.this, node.args["expression"])
    return _compare(scope, left, right, operator, narrow)


def bind_row_in(scope: Scope, node: exp.Expr, negated: bool, narrow: Narrow) -> Narrowed:
    """``row [NOT] IN (rows)``."""
    operator: Operator = "!=" if negated else "="
    pairs = [_pair(scope, node, node.this, item) for item in node.expressions]
    parts = [_compare(scope, left, right, operator, narrow) for left, right in pairs]
    return all_of(parts) if negated else any_of(parts)


def _pair(
    scope: Scope, node: exp.Expr, left: exp.Expr, right: exp.Expr
) -> tuple[list[exp.Expr], list[exp.Expr]]:
    first, second = _items(left), _items(right)
    if first is None or second is None:
        raise scope.source.not_supported(
            "a row compared with anything but a row", node, "Write (a, b) = (1, 2)."
        )
    if len(first) != len(second) or not first:
        raise scope.source.type_mismatch(
            "the rows have different numbers of values",
            f"{len(first)} and {len(second)}",
            node,
            "Write as many.",
        )
    return first, second


def _compare(
    scope: Scope, left: list[exp.Expr], right: list[exp.Expr], operator: Operator, narrow: Narrow
) -> Narrowed:
    def compare(number: int, sign: Operator) -> Narrowed:
        # Copies: a node has one parent, and statements of the same text share their tree.
        node = _NODES[sign](this=left[number].copy(), expression=right[number].copy())
        return narrow(scope, node, False)

    last = len(left) - 1
    if operator in ("=", "!="):
        parts = [compare(number, operator) for number in range(last + 1)]
        return all_of(parts) if operator == "=" else any_of(parts)
    condition = compare(last, operator)
    for number in range(last - 1, -1, -1):
        tie = all_of((compare(number, "="), condition))
        condition = any_of((compare(number, _STRICT[operator]), tie))
    return condition
