"""ORDER BY: a ranking first, with other keys for its ties, or values of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlglot import TokenType, exp

from nestvec.sql.bind.expressions.binder import ExpressionBinder
from nestvec.sql.bind.expressions.nodes import Constant, Distance, Expression, FunctionCall, walk
from nestvec.sql.bind.expressions.typing import NULL
from nestvec.sql.bind.scope import FLOATS, INTEGERS, STRINGS, Scope
from nestvec.sql.bind.select_list import SelectItem
from nestvec.sql.bind.vectors.ranking import (
    FusedRanking,
    Measure,
    Ranking,
    RerankScore,
    as_measure,
    bind_measure,
)
from nestvec.sql.parse.source import identifier_name, stray_parts, without_parens

_ORDERED = INTEGERS | FLOATS | STRINGS | {"BOOL", NULL}
_NEAREST_FIRST = "Milvus finds the nearest rows, not the farthest: reverse the order."


@dataclass(frozen=True)
class SortKey:
    """A key of ORDER BY; without NULLS FIRST or LAST, NULLs are where PostgreSQL puts them."""

    expression: Expression
    descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True)
class UnboundKey:
    """A key of ORDER BY, not bound yet."""

    node: exp.Expr
    """Its expression: that of the select list if the key names a column of the result."""
    ordered: exp.Ordered
    """The key as it is written, with its direction."""


def list_sort_keys(scope: Scope, select: exp.Select, items: Sequence[SelectItem]) -> tuple[UnboundKey, ...]:
    """The keys of ORDER BY: a column of the result by name or position, or an expression."""
    order = select.args.get("order")
    if order is None:
        return ()
    if stray_parts(order, ("expressions", "rerank")):
        raise scope.source.not_supported("ORDER SIBLINGS BY", TokenType.ORDER_BY, "Write ORDER BY.")
    for ordered in order.expressions:
        if stray_parts(ordered, ("this", "desc", "nulls_first")):
            raise scope.source.not_supported(
                "ORDER BY with more than a direction", ordered, "Write ASC, DESC, NULLS FIRST or NULLS LAST."
            )
    return tuple(
        UnboundKey(resolve_select_item(scope, ordered.this, items, "ORDER BY"), ordered)
        for ordered in order.expressions
    )


def resolve_select_item(
    scope: Scope, node: exp.Expr, items: Sequence[SelectItem], clause: str, columns_first: bool = False
) -> exp.Expr:
    """The expression of the result column that a bare name or number refers to; else ``node`` itself."""
    node = without_parens(node)
    if isinstance(node, exp.Literal):
        text = str(node.this)
        if node.is_string or not text.isdecimal():
            raise scope.source.type_mismatch(
                f"a constant in {clause}",
                text[:40],
                node,
                "Name a column, or give its position in the select list.",
            )
        if not 1 <= int(text[:9]) <= len(items):
            raise scope.source.type_mismatch(
                f"{clause} gives a position that is not in the select list",
                text[:40],
                node,
                f"Use a position from 1 to {len(items)}.",
            )
        return _item_node(items[int(text) - 1])
    if isinstance(node, exp.Column) and not node.args.get("table") and isinstance(node.this, exp.Identifier):
        name = identifier_name(node.this)
        if columns_first and scope.table.column(name) is not None:
            return node
        match = next((item for item in items if item.name == name), None)
        return node if match is None else _item_node(match)
    return node


def _item_node(item: SelectItem) -> exp.Expr:
    if item.column is None:
        return item.node
    return exp.Column(this=exp.Identifier(this=item.column.name, quoted=True))


def find_measure(node: exp.Expr) -> Measure | None:
    """The distance or the score that an expression contains; None if it contains none."""
    for part in node.walk():
        measured = as_measure(part)
        if measured is not None and measured.kind != "similarity":
            return measured
    return None


def bind_ranking(scope: Scope, keys: Sequence[UnboundKey]) -> Ranking | None:
    """The ranking by the first key; None if no key ranks. Raises the errors of ``bind_query``."""
    measures = [find_measure(key.node) for key in keys]
    if not any(measures):
        return None
    if measures[0] is None:
        raise scope.source.not_supported(
            "ORDER BY a value before a distance", keys[0].ordered, "Write the distance first."
        )
    ranking = bind_measure(scope, measures[0])
    if isinstance(ranking, RerankScore):
        raise scope.source.not_supported(
            "ORDER BY RERANK_SCORE()", keys[0].ordered, "Order by a distance, then write RERANK BY 'encoder'."
        )
    return ranking


def bind_sort_keys(binder: ExpressionBinder, keys: Sequence[UnboundKey]) -> tuple[SortKey, ...]:
    """Bind the keys, whose types must have an order. Raises the errors of ``bind_query``."""
    return tuple(_bind(binder, key) for key in keys)


def _bind(binder: ExpressionBinder, key: UnboundKey) -> SortKey:
    bound = binder.bind(key.node)
    if bound.type not in _ORDERED:
        raise binder.scope.source.not_supported(
            f"ORDER BY a value of type {bound.type}", key.ordered, "Order by a number, a string or a boolean."
        )
    return SortKey(
        bound.expression, bool(key.ordered.args.get("desc")), bool(key.ordered.args.get("nulls_first"))
    )


def check_ranking_order(
    scope: Scope, ranking: Ranking, keys: Sequence[SortKey], unbound: Sequence[UnboundKey]
) -> None:
    """Raise SqlNotSupported if the ranking does not order the rows as the first key does."""
    first, first_unbound = keys[0], unbound[0]
    trend = rank_monotonicity(first.expression, ranking) * (-1 if first.descending else 1)
    if trend == 0:
        raise scope.source.not_supported(
            "ORDER BY a distance together with other values",
            first_unbound.ordered,
            "Order by the distance only, and move the rest to the select list.",
        )
    if trend < 0:
        measured = find_measure(first_unbound.node)
        kind = measured.kind if measured is not None else "distance"
        if kind == "distance" and first.descending:
            wrong = "DESC on a distance"
        else:
            wrong = f"ASC on a {'score' if kind == 'score' else 'similarity'}"
        raise scope.source.not_supported(f"ORDER BY {wrong}", first_unbound.ordered, _NEAREST_FIRST)
    if len(keys) > 1 and trend < STRICT:
        raise scope.source.not_supported(
            "a second key after a rounded distance",
            unbound[1].ordered,
            "Order by the distance itself, then by the second key.",
        )
    for key, unbound_key in zip(keys[1:], unbound[1:], strict=True):
        if any(isinstance(part, Distance) for part in walk(key.expression)):
            raise scope.source.not_supported(
                "ORDER BY a distance twice", unbound_key.ordered, "Omit this one."
            )


STRICT: Final = 2
"""The monotonicity of an expression that maps different distances to different values."""

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
    """How an expression follows the ranking's value: 2 rises strictly, 1 rises, -1 and -2 fall, else 0."""
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
    """How an expression follows the rank of a row: a distance rises with it, a score falls."""
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
