"""GROUP BY, aggregates and HAVING; and the best row of each group of a ranking."""

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
"""What Milvus's grouping search groups by."""

_SETS = (exp.Rollup, exp.Cube, exp.GroupingSets, exp.Tuple)


@dataclass(frozen=True)
class GroupKey:
    """One expression of GROUP BY, with the type of its values and where it is written."""

    expression: Expression
    type: str
    node: exp.Expr


def bind_groups(
    binder: ExpressionBinder, select: exp.Select, items: Sequence[SelectItem]
) -> tuple[GroupKey, ...] | None:
    """What GROUP BY names: a column of the table, one of the answer, or an expression; None without it."""
    clause, source = select.args.get("group"), binder.scope.source
    if clause is None:
        return None
    if clause.args.get("all") or not clause.expressions:
        raise source.not_supported("GROUP BY ALL", TokenType.GROUP_BY, "Name the columns.")
    groups: list[GroupKey] = []
    for node in clause.expressions:
        if isinstance(node, _SETS):
            raise source.not_supported("GROUP BY of several sets", node, "Run one statement a set.")
        resolved = resolve_select_item(binder.scope, node, items, "GROUP BY", columns_first=True)
        bound = binder.bind(resolved)
        groups.append(GroupKey(bound.expression, bound.type, node))
    return tuple(groups)


def aggregates_in(expressions: Iterable[Expression]) -> tuple[AggregateCall, ...]:
    """The aggregates in expressions, each once."""
    aggregates = (
        part for expression in expressions for part in walk(expression) if isinstance(part, AggregateCall)
    )
    return tuple(dict.fromkeys(aggregates))


def in_group_row(source: SourceText, expression: Expression, keys: Sequence[Expression]) -> Expression:
    """An expression of a group's row, which has what is grouped by and aggregates. Raises SqlTypeMismatch."""

    def read(part: Expression) -> Expression | None:
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

    return _rewrite(expression, read)


def grouping_column(binder: ExpressionBinder, groups: Sequence[GroupKey]) -> str:
    """The column that Milvus groups a ranking by. Raises SqlNotSupported where it cannot."""
    source, first = binder.scope.source, groups[0]
    if len(groups) > 1:
        raise source.not_supported(
            "GROUP BY of more than one column beside ORDER BY a distance",
            groups[1].node,
            "Milvus groups a search by one column.",
        )
    if isinstance(binder.ranking, FusedRanking):
        raise source.not_supported(
            "GROUP BY beside ORDER BY a score of several", first.node, "Order by one distance."
        )
    if not isinstance(first.expression, ColumnRef) or first.type not in _GROUPED:
        kind = (
            construct_name(first.node)
            if not isinstance(first.expression, ColumnRef)
            else f"a {first.type} column"
        )
        raise source.not_supported(
            f"GROUP BY {kind} beside ORDER BY a distance",
            first.node,
            "Milvus groups a search by a column of whole numbers, texts or booleans.",
        )
    return first.expression.name


def in_best_row(source: SourceText, expression: Expression, ranking: Ranking, at: exp.Expr) -> Expression:
    """An expression of the best row of a group: ``min`` of a distance is that row's own distance."""

    def read(part: Expression) -> Expression | None:
        if not isinstance(part, AggregateCall):
            return None
        trend = rank_monotonicity(part.argument, ranking) if part.argument is not None else 0
        if part.argument is not None and (part.name, trend > 0) in (("min", True), ("max", False)) and trend:
            return part.argument
        raise SqlNotSupported(
            f"the aggregate {part.name}() of groups whose best rows are ranked is not supported yet",
            next_step="Take min() of the distance, or columns of the best row.",
            statement=source.text,
            position=source.position(at),
        )

    return _rewrite(expression, read)


def _rewrite(expression: Expression, read: Callable[[Expression], Expression | None]) -> Expression:
    replacement = read(expression)
    if replacement is not None:
        return replacement
    if isinstance(expression, FunctionCall):
        return replace(
            expression, arguments=tuple(_rewrite(argument, read) for argument in expression.arguments)
        )
    return expression


def bind_having(binder: ExpressionBinder, select: exp.Select) -> Expression | None:
    having = select.args.get("having")
    if having is None:
        return None
    condition = binder.bind(having.this)
    check_kind(binder.scope.source, condition, "a condition", having.this, "HAVING")
    return condition.expression


def bind_distinct(
    binder: ExpressionBinder, select: exp.Select, query: Query, unbound_keys: Sequence[UnboundKey]
) -> tuple[Expression, ...] | None:
    """What DISTINCT looks at: the answer's columns, or those of ON. The order must go by them first."""
    clause, source = select.args.get("distinct"), binder.scope.source
    if clause is None:
        return None
    if query.ordering.ranking is not None:
        raise source.not_supported(
            "DISTINCT beside ORDER BY a distance",
            TokenType.DISTINCT,
            "GROUP BY column gives the best row of each of its values.",
        )
    on = clause.args.get("on")
    if on is None:
        values = tuple(item.expression for item in query.outputs)
        keys = zip(query.ordering.keys, unbound_keys, strict=True)
        unselected = next((unbound for key, unbound in keys if key.expression not in values), None)
        if unselected is not None:
            raise source.syntax_error(
                "with DISTINCT, ORDER BY names columns of the select list",
                unselected.ordered,
                "Add it there.",
            )
        return values
    if query.grouping is not None:
        raise source.not_supported("DISTINCT ON beside GROUP BY", TokenType.DISTINCT, "Use one of them.")
    nodes = on.expressions if isinstance(on, exp.Tuple) else [on]
    values = tuple(
        replace(binder, clause="DISTINCT ON", allow_aggregates=False).bind(item).expression for item in nodes
    )
    leading = {expression_sql(item.expression) for item in query.ordering.keys[: len(values)]}
    if query.ordering.keys and leading != {expression_sql(item) for item in values}:
        raise source.syntax_error(
            "DISTINCT ON and the first keys of ORDER BY are not the same",
            unbound_keys[0].ordered,
            "Order by them first.",
        )
    return values
