"""Tree and table to a bound query: names are columns, constants have their types, nothing is left over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlglot import TokenType, exp

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.clauses import (
    MAX_SCAN_ROWS,
    MAX_WINDOW,
    bind_window,
    check_select_consumed,
    check_window,
    table_name,
    table_node,
)
from nestvec.sql.bind.conditions import Condition, bind_condition
from nestvec.sql.bind.conditions.nodes import And
from nestvec.sql.bind.expressions.binder import ExpressionBinder
from nestvec.sql.bind.expressions.expressions import AggregateCall, Expression, FunctionCall, expression_sql
from nestvec.sql.bind.expressions.functions import AGGREGATES
from nestvec.sql.bind.expressions.typing import check_kind
from nestvec.sql.bind.groups import (
    GroupKey,
    aggregates_in,
    bind_groups,
    grouping_column,
    in_best_row,
    in_group_row,
)
from nestvec.sql.bind.order import (
    SortKey,
    UnboundKey,
    bind_ranking,
    bind_sort_keys,
    check_ranking_order,
    list_sort_keys,
)
from nestvec.sql.bind.outputs import OutputColumn, bind_select_items, list_select_items
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import Context, Scope
from nestvec.sql.bind.vectors.nearest import Ranking, RerankScore
from nestvec.sql.bind.vectors.rerank import RerankClause, bind_rerank
from nestvec.sql.bind.vectors.thresholds import bind_threshold, split_thresholds
from nestvec.sql.parse.source import SourceText, identifier_name
from nestvec_schemas.errors import SqlUnknownName

__all__ = [
    "MAX_SCAN_ROWS",
    "MAX_WINDOW",
    "Grouping",
    "Query",
    "bind_query",
    "check_select_consumed",
    "table_node",
]


_NO_CONTEXT = Context()


@dataclass(frozen=True)
class Grouping:
    """Rows brought together by ``keys``, all in one group where there is none, and what is said of each."""

    keys: tuple[Expression, ...]
    aggregates: tuple[AggregateCall, ...]
    having: Expression | None = None


@dataclass(frozen=True)
class Query:
    """A bound query. Without ``limit`` every row is wanted.

    ``keep`` is a threshold on what ``nearest`` ranks by; ``best`` a column, of whose values each has its best
    row in the answer. ``distinct``: of rows with the same values of these, the first. ``keys`` are the order;
    beside ``nearest`` the first of them is by it.
    """

    table: Table
    outputs: tuple[OutputColumn, ...]
    where: Condition | None
    ranking: Ranking | None
    limit: int | None
    offset: int
    threshold: Expression | None = None
    group_column: str = ""
    grouping: Grouping | None = None
    distinct: tuple[Expression, ...] | None = None
    keys: tuple[SortKey, ...] = ()
    rerank: RerankClause | None = None


def bind_query(
    source: SourceText, select: exp.Select, table: Table, params: Params, context: Context = _NO_CONTEXT
) -> Query:
    """Bind a SELECT to its table, one without columns where it has no FROM.

    Raises SqlUnknownName, SqlTypeMismatch, SqlNotSupported or SqlSyntaxError, each with a position.
    """
    scope = Scope(source, table, table_name(table_node(source, select)), params, context)
    limit, offset = bind_window(source, select, params)
    items = list_select_items(scope, select)
    unbound_keys = list_sort_keys(scope, select, items)
    ranking = bind_ranking(scope, unbound_keys)
    if ranking is not None:
        check_window(source, select, limit, offset)
    with _without_aliases(source, select):
        where, threshold = _where(ExpressionBinder(scope, "WHERE", ranking), select)
    rerank = bind_rerank(scope, select.args.get("order"), ranking)
    reader = ExpressionBinder(scope, "the select list", ranking, allow_aggregates=True)
    outputs = bind_select_items(reader if rerank is None else replace(reader, ranking=RerankScore()), items)
    keys = bind_sort_keys(replace(reader, clause="ORDER BY"), unbound_keys)
    groups = bind_groups(replace(reader, clause="GROUP BY", allow_aggregates=False), select, items)
    having = _having(replace(reader, clause="HAVING"), select)
    query = Query(table, outputs, where, ranking, limit, offset, threshold, keys=keys, rerank=rerank)
    if ranking is not None:
        query = _ranked(reader, query, select, groups, having)
        check_ranking_order(scope, ranking, query.keys, unbound_keys)
    else:
        query = _grouped(source, query, groups, having)
    query = replace(query, distinct=_distinct(reader, select, query, unbound_keys))
    if rerank is not None and (
        query.threshold or query.group_column or query.distinct or len(query.keys) > 1
    ):
        raise source.not_supported(
            "RERANK BY beside a threshold, a group, DISTINCT or a second key",
            select.args["order"],
            "Leave it out.",
        )
    check_select_consumed(source, select)
    return query


def _where(reader: ExpressionBinder, select: exp.Select) -> tuple[Condition | None, Expression | None]:
    """What Milvus filters by, and the threshold on the ranking."""
    where = select.args.get("where")
    if where is None:
        return None, None
    if not reader.scope.table.columns:
        raise reader.scope.source.not_supported("WHERE without FROM", where, "Add FROM collection.")
    columns, thresholds = split_thresholds(where.this)
    if not thresholds:
        return bind_condition(reader.scope, where.this), None
    bound_thresholds = [bind_threshold(reader, term) for term in thresholds]
    bound_columns = [bind_condition(reader.scope, term) for term in columns]
    condition = (
        None
        if not bound_columns
        else bound_columns[0]
        if len(bound_columns) == 1
        else And(tuple(bound_columns))
    )
    return condition, _all_of(bound_thresholds)


@contextmanager
def _without_aliases(source: SourceText, select: exp.Select) -> Iterator[None]:
    """Say of a name that WHERE does not know, and the select list gives, why that is so."""
    try:
        yield
    except SqlUnknownName as error:
        aliases = {
            identifier_name(item.args["alias"]) for item in select.expressions if isinstance(item, exp.Alias)
        }
        if error.value not in aliases:
            raise
        raise source.unknown_name(
            "a name of the select list means nothing in WHERE",
            str(error.value),
            error.position,
            "Write its expression there.",
        ) from None


def _all_of(conditions: Sequence[Expression]) -> Expression | None:
    if len(conditions) < 2:
        return conditions[0] if conditions else None
    return FunctionCall("and", tuple(conditions))


def _having(reader: ExpressionBinder, select: exp.Select) -> Expression | None:
    having = select.args.get("having")
    if having is None:
        return None
    condition = reader.bind(having.this)
    check_kind(reader.scope.source, condition, "a condition", having.this, "HAVING")
    return condition.expression


def _ranked(
    reader: ExpressionBinder,
    query: Query,
    select: exp.Select,
    groups: tuple[GroupKey, ...] | None,
    having: Expression | None,
) -> Query:
    """A query of ranked rows: all, or the best of each group."""
    source, ranking = reader.scope.source, query.ranking
    expressions = [*(item.expression for item in query.outputs), *(item.expression for item in query.keys)]
    if having is not None:
        raise source.not_supported(
            "HAVING beside ORDER BY a distance", select.args["having"], "Write the threshold in WHERE."
        )
    if groups is None and ranking is not None:
        if aggregates_in(expressions):
            raise source.not_supported(
                "an aggregate beside ORDER BY a distance",
                select.find(*AGGREGATES),
                "Write GROUP BY column for the best row of each of its values.",
            )
        return query
    if groups is None or ranking is None:
        return query
    group_column = grouping_column(reader, groups)
    outputs = [
        replace(item, expression=in_best_row(source, item.expression, ranking, node))
        for item, node in zip(query.outputs, _nodes(select, query), strict=True)
    ]
    order = select.args["order"]
    keys = [
        replace(item, expression=in_best_row(source, item.expression, ranking, order)) for item in query.keys
    ]
    return replace(query, group_column=group_column, outputs=tuple(outputs), keys=tuple(keys))


def _nodes(select: exp.Select, query: Query) -> list[exp.Expr]:
    """Where each column of the answer stands; all at the list's start where * stands for some."""
    nodes = list(select.expressions)
    return nodes if len(nodes) == len(query.outputs) else [nodes[0]] * len(query.outputs)


def _grouped(
    source: SourceText, query: Query, groups: tuple[GroupKey, ...] | None, having: Expression | None
) -> Query:
    """A query of rows in no ranking: as they are, or brought together."""
    expressions = [*(item.expression for item in query.outputs), *(item.expression for item in query.keys)]
    if having is not None:
        expressions.append(having)
    aggregates = aggregates_in(expressions)
    if groups is None and not aggregates and having is None:
        return query
    by = tuple(item.expression for item in groups or ())
    outputs = [replace(item, expression=in_group_row(source, item.expression, by)) for item in query.outputs]
    keys = [replace(item, expression=in_group_row(source, item.expression, by)) for item in query.keys]
    group_having = in_group_row(source, having, by) if having is not None else None
    return replace(
        query, outputs=tuple(outputs), keys=tuple(keys), grouping=Grouping(by, aggregates, group_having)
    )


def _distinct(
    reader: ExpressionBinder, select: exp.Select, query: Query, unbound_keys: Sequence[UnboundKey]
) -> tuple[Expression, ...] | None:
    """What DISTINCT looks at: the answer's columns, or those of ON. The order must go by them first."""
    clause, source = select.args.get("distinct"), reader.scope.source
    if clause is None:
        return None
    if query.ranking is not None:
        raise source.not_supported(
            "DISTINCT beside ORDER BY a distance",
            TokenType.DISTINCT,
            "GROUP BY column gives the best row of each of its values.",
        )
    on = clause.args.get("on")
    if on is None:
        values = tuple(item.expression for item in query.outputs)
        missing = [
            at for key, at in zip(query.keys, unbound_keys, strict=True) if key.expression not in values
        ]
        if missing:
            raise source.syntax_error(
                "with DISTINCT, ORDER BY names columns of the select list",
                missing[0].ordered,
                "Add it there.",
            )
        return values
    if query.grouping is not None:
        raise source.not_supported("DISTINCT ON beside GROUP BY", TokenType.DISTINCT, "Use one of them.")
    nodes = on.expressions if isinstance(on, exp.Tuple) else [on]
    values = tuple(
        replace(reader, clause="DISTINCT ON", allow_aggregates=False).bind(item).expression for item in nodes
    )
    leading = {expression_sql(item.expression) for item in query.keys[: len(values)]}
    if query.keys and leading != {expression_sql(item) for item in values}:
        raise source.syntax_error(
            "DISTINCT ON and the first keys of ORDER BY are not the same",
            unbound_keys[0].ordered,
            "Order by them first.",
        )
    return values
