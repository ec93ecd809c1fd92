"""GROUP BY, HAVING, DISTINCT, and the best row of each group of a ranking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from sqlglot import TokenType, exp

from nestvec.sql.bind.expressions.binder import ExpressionBinder
from nestvec.sql.bind.expressions.nodes import (
    AggregateCall,
    ColumnRef,
    Expression,
    FunctionCall,
    expression_sql,
    walk,
)
from nestvec.sql.bind.expressions.typing import check_kind
from nestvec.sql.bind.order import UnboundKey, rank_monotonicity, resolve_select_item
from nestvec.sql.bind.query import Query
from nestvec.sql.bind.scope import INTEGERS, STRINGS
from nestvec.sql.bind.select_list import SelectItem
from nestvec.sql.bind.vectors.ranking import FusedRanking, Ranking
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import SourceText
from nestvec_schemas.errors import SqlNotSupported, SqlTypeMismatch

_GROUPED = INTEGERS | STRINGS | {"BOOL"}
"""Types of columns that Milvus can group a search by."""

_SETS = (exp.Rollup, exp.Cube, exp.GroupingSets, exp.Tuple)


@dataclass(frozen=True)
class GroupKey:
    """One expression of GROUP BY, with its type and node."""

    expression: Expression
    type: str
    node: exp.Expr


def bind_groups(
    binder: ExpressionBinder, select: exp.Select, items: Sequence[SelectItem]
) -> tuple[GroupKey, ...] | None:
    """The keys of GROUP BY: columns of the table or of the result, or expressions; None without it."""
    clause, source = select.args.get("group"), binder.scope.source
    if clause is None:
        return None
    if clause.args.get("all") or not clause.expressions:
        raise source.not_supported("GROUP BY ALL", TokenType.GROUP_BY, "Name the columns.")
    groups: list[GroupKey] = []
    for node in clause.expressions:
        if isinstance(node, _SETS):
            raise source.not_supported(
                "GROUP BY with several grouping sets", node, "Run one statement per set."
            )
        resolved = resolve_select_item(binder.scope, node, items, "GROUP BY", columns_first=True)
        bound = binder.bind(resolved)
        groups.append(GroupKey(bound.expression, bound.type, node))
    return tuple(groups)


def aggregates_in(expressions: Iterable[Expression]) -> tuple[AggregateCall, ...]:
    """The distinct aggregates in expressions."""
    aggregates = (
        part for expression in expressions for part in walk(expression) if isinstance(part, AggregateCall)
    )
    return tuple(dict.fromkeys(aggregates))


def in_group_row(source: SourceText, expression: Expression, keys: Sequence[Expression]) -> Expression:
    """An expression over the row of a group: its keys and aggregates. Raises SqlTypeMismatch for columns."""

    def replacement_of(part: Expression) -> Expression | None:
        if part in keys:
            return ColumnRef(expression_sql(part))
        if isinstance(part, AggregateCall):
            return part
        if isinstance(part, ColumnRef):
            raise SqlTypeMismatch(
                f"column {part.name} is neither in GROUP BY nor in an aggregate",
                value=part.name,
                next_step=f"Add it to GROUP BY, or write min({part.name}).",
                statement=source.text,
                position=part.location.position if part.location is not None else None,
            )
        return None

    return _rewrite(expression, replacement_of)


def grouping_column(binder: ExpressionBinder, groups: Sequence[GroupKey]) -> str:
    """The column that Milvus groups a ranking by. Raises SqlNotSupported for anything else."""
    source, first = binder.scope.source, groups[0]
    if len(groups) > 1:
        raise source.not_supported(
            "GROUP BY of more than one column with ORDER BY a distance",
            groups[1].node,
            "Milvus groups a search by one column.",
        )
    if isinstance(binder.ranking, FusedRanking):
        raise source.not_supported(
            "GROUP BY with ORDER BY a fused score", first.node, "Order by one distance."
        )
    if not isinstance(first.expression, ColumnRef) or first.type not in _GROUPED:
        kind = (
            construct_name(first.node)
            if not isinstance(first.expression, ColumnRef)
            else f"a {first.type} column"
        )
        raise source.not_supported(
            f"GROUP BY {kind} with ORDER BY a distance",
            first.node,
            "Milvus groups a search by an integer, string or boolean column.",
        )
    return first.expression.name


def in_best_row(source: SourceText, expression: Expression, ranking: Ranking, order: exp.Expr) -> Expression:
    """An expression over the best row of a group: ``min`` of a distance is the distance of that row."""

    def replacement_of(part: Expression) -> Expression | None:
        if not isinstance(part, AggregateCall):
            return None
        trend = rank_monotonicity(part.argument, ranking) if part.argument is not None else 0
        if part.argument is not None and (part.name, trend > 0) in (("min", True), ("max", False)) and trend:
            return part.argument
        raise SqlNotSupported(
            f"the aggregate {part.name}() over the groups of a ranking is not supported",
            next_step="Use min() of the distance, or columns of the best row.",
            statement=source.text,
            position=source.position(order),
        )

    return _rewrite(expression, replacement_of)


def _rewrite(expression: Expression, replacement_of: Callable[[Expression], Expression | None]) -> Expression:
    """The expression with its parts replaced, wherever ``replacement_of`` has one."""
    replacement = replacement_of(expression)
    if replacement is not None:
        return replacement
    if isinstance(expression, FunctionCall):
        return replace(
            expression,
            arguments=tuple(_rewrite(argument, replacement_of) for argument in expression.arguments),
        )
    return expression


def bind_having(binder: ExpressionBinder, select: exp.Select) -> Expression | None:
    """The condition of HAVING; None without it. Raises the errors of ``bind_query``."""
    having = select.args.get("having")
    if having is None:
        return None
    condition = binder.bind(having.this)
    check_kind(binder.scope.source, condition, "a boolean", having.this, "HAVING")
    return condition.expression


def bind_distinct(
    binder: ExpressionBinder, select: exp.Select, query: Query, unbound_keys: Sequence[UnboundKey]
) -> tuple[Expression, ...] | None:
    """What DISTINCT compares: the columns of the result, or those of ON, by which the order must start."""
    clause, source = select.args.get("distinct"), binder.scope.source
    if clause is None:
        return None
    if query.ordering.ranking is not None:
        raise source.not_supported(
            "DISTINCT with ORDER BY a distance",
            TokenType.DISTINCT,
            "GROUP BY column gives the best row per value.",
        )
    on = clause.args.get("on")
    if on is None:
        values = tuple(item.expression for item in query.outputs)
        keys = zip(query.ordering.keys, unbound_keys, strict=True)
        unselected = next((unbound for key, unbound in keys if key.expression not in values), None)
        if unselected is not None:
            raise source.syntax_error(
                "with DISTINCT, ORDER BY expressions must be in the select list",
                unselected.ordered,
                "Add it there.",
            )
        return values
    if query.grouping is not None:
        raise source.not_supported("DISTINCT ON with GROUP BY", TokenType.DISTINCT, "Use one of them.")
    nodes = on.expressions if isinstance(on, exp.Tuple) else [on]
    values = tuple(
        replace(binder, clause="DISTINCT ON", allow_aggregates=False).bind(item).expression for item in nodes
    )
    leading = {expression_sql(item.expression) for item in query.ordering.keys[: len(values)]}
    if query.ordering.keys and leading != {expression_sql(item) for item in values}:
        raise source.syntax_error(
            "DISTINCT ON expressions must match the first keys of ORDER BY",
            unbound_keys[0].ordered,
            "Order by them first.",
        )
    return values
