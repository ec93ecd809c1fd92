"""ORDER BY: a ranking first, with other keys for its ties, or values of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlglot import TokenType, exp

from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.bind.scope import FLOATS, INTEGERS, STRINGS, Scope
from nestvec.sql.bind.select_list import SelectItem, ambiguous_output, output_label
from nestvec.sql.bind.values import NULL, Distance, Expression, ValueBinder
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
        named = [_item_node(item) for item in items if output_label(item.name) == name]
        if len(named) > 1 and len({_unqualified(item) for item in named}) > 1:
            raise ambiguous_output(scope.source, node, name, clause)
        return named[0] if named else node
    return node


def _unqualified(node: exp.Expr) -> exp.Expr:
    """An expression over one table, the same with and without the table's name."""
    node = node.copy()
    for column in node.find_all(exp.Column):
        column.set("table", None)
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


def bind_sort_keys(
    binder: ValueBinder, ranking: Ranking | None, keys: Sequence[UnboundKey]
) -> tuple[SortKey, ...]:
    """Bind the keys, whose types must have an order. Raises the errors of ``bind_query``.

    With a ranking the first key follows it, whichever expression of the distance is written.
    """
    if ranking is None:
        return tuple(_bind(binder, key) for key in keys)
    _check_follows(binder, ranking, keys)
    nearest_last = isinstance(ranking, FusedRanking)
    return (SortKey(Distance(), nearest_last, nearest_last), *(_bind(binder, key) for key in keys[1:]))


def _bind(binder: ValueBinder, key: UnboundKey) -> SortKey:
    bound = binder.bind(key.node)
    if bound.type not in _ORDERED:
        raise binder.scope.source.not_supported(
            f"ORDER BY a value of type {bound.type}", key.ordered, "Order by a number, a string or a boolean."
        )
    return SortKey(
        bound.expression, bool(key.ordered.args.get("desc")), bool(key.ordered.args.get("nulls_first"))
    )


def _check_follows(binder: ValueBinder, ranking: Ranking, keys: Sequence[UnboundKey]) -> None:
    """Raise SqlNotSupported if the ranking does not order the rows as the first key does."""
    source, first = binder.scope.source, keys[0]
    trend = rank_monotonicity(binder.scope, first.node, ranking, of_groups=binder.best_of_groups)
    trend *= -1 if first.ordered.args.get("desc") else 1
    if trend == 0:
        raise source.not_supported(
            "ORDER BY a distance together with other values",
            first.ordered,
            "Order by the distance only, and move the rest to the select list.",
        )
    if trend < 0:
        measured = find_measure(first.node)
        kind = measured.kind if measured is not None else "distance"
        if kind == "distance" and first.ordered.args.get("desc"):
            wrong = "DESC on a distance"
        else:
            wrong = f"ASC on a {'score' if kind == 'score' else 'similarity'}"
        raise source.not_supported(f"ORDER BY {wrong}", first.ordered, _NEAREST_FIRST)
    if len(keys) > 1 and trend < STRICT:
        raise source.not_supported(
            "a second key after a rounded distance",
            keys[1].ordered,
            "Order by the distance itself, then by the second key.",
        )
    twice = next((key for key in keys[1:] if find_measure(key.node) is not None), None)
    if twice is not None:
        raise source.not_supported("ORDER BY a distance twice", twice.ordered, "Omit this one.")


STRICT: Final = 2
"""The monotonicity of an expression that maps different distances to different values."""

_NON_STRICT: Final = (exp.Round, exp.Floor, exp.Ceil, exp.Trunc, exp.Sign, exp.Exp, exp.Sqrt)
_STRICT_CASTS: Final = (exp.DType.DOUBLE, exp.DType.DECIMAL)
_NON_STRICT_CASTS: Final = (exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT, exp.DType.FLOAT)
_ARITHMETIC: Final = (exp.Add, exp.Sub, exp.Mul, exp.Div)


def monotonicity(scope: Scope, node: exp.Expr, *, of_groups: bool = False) -> int:
    """How an expression follows the ranking's value: 2 rises strictly, 1 rises, -1 and -2 fall, else 0.

    ``of_groups``: rows are the best of their groups, so that ``min`` of what rises is its value there.
    """
    node = without_parens(node)
    measured = as_measure(node)
    if measured is not None and measured.kind != "similarity":
        return STRICT
    if isinstance(node, exp.Neg):
        return -monotonicity(scope, node.this, of_groups=of_groups)
    if of_groups and isinstance(node, (exp.Min, exp.Max)) and node.this is not None:
        return monotonicity(scope, node.this)
    if isinstance(node, exp.Cast):
        inner, to = monotonicity(scope, node.this, of_groups=of_groups), node.args["to"].this
        return inner if to in _STRICT_CASTS else _sign(inner) if to in _NON_STRICT_CASTS else 0
    if isinstance(node, _NON_STRICT):
        others = [part for name, part in node.args.items() if name != "this" and isinstance(part, exp.Expr)]
        constant = all(_number(scope, part) is not None for part in others)
        return _sign(monotonicity(scope, node.this, of_groups=of_groups)) if constant else 0
    if isinstance(node, _ARITHMETIC):
        return _of_arithmetic(scope, node, of_groups=of_groups)
    return 0


def rank_monotonicity(
    scope: Scope, node: exp.Expr, ranking: Ranking | RerankScore, *, of_groups: bool = False
) -> int:
    """How an expression follows the rank of a row: a distance rises with it, a score falls."""
    trend = monotonicity(scope, node, of_groups=of_groups)
    return -trend if isinstance(ranking, (FusedRanking, RerankScore)) else trend


def _of_arithmetic(scope: Scope, node: exp.Binary, *, of_groups: bool) -> int:
    left, right = node.this, node.args["expression"]
    number = _number(scope, right)
    if number is not None:
        sign = _sign(number) if isinstance(node, (exp.Mul, exp.Div)) else 1
        return monotonicity(scope, left, of_groups=of_groups) * sign
    number = _number(scope, left)
    if number is None or isinstance(node, exp.Div):
        return 0
    sign = _sign(number) if isinstance(node, exp.Mul) else -1 if isinstance(node, exp.Sub) else 1
    return monotonicity(scope, right, of_groups=of_groups) * sign


def _number(scope: Scope, node: exp.Expr) -> float | None:
    """The value of a constant number; None for anything else."""
    inner = without_parens(node)
    literal = inner.this if isinstance(inner, exp.Neg) else inner
    if not isinstance(literal, (exp.Literal, *PARAMETER_NODES)):
        return None
    value = scope.constant(inner)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
