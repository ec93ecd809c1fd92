"""Tree and table to a bound query: names are columns, constants have their types, nothing is left over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlglot import TokenType, exp

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.clauses import (
    MAX_ROWS,
    MOST_ROWS,
    bind_window,
    called,
    check_all_is_read,
    check_window,
    table_node,
)
from nestvec.sql.bind.conditions import Condition, bind_condition
from nestvec.sql.bind.conditions.nodes import Every
from nestvec.sql.bind.expressions.binder import Reader
from nestvec.sql.bind.expressions.expressions import Apply, Expression, Summary, written
from nestvec.sql.bind.expressions.functions import SUMMARIES
from nestvec.sql.bind.expressions.typing import check
from nestvec.sql.bind.groups import Group, best_group, bind_groups, of_best, over_groups, summaries
from nestvec.sql.bind.order import Key, Wanted, bind_keys, bind_ranking, check_ranked, list_keys
from nestvec.sql.bind.outputs import Output, bind_items, list_items
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import Around, Scope
from nestvec.sql.bind.vectors.nearest import Ranking, Reranked
from nestvec.sql.bind.vectors.rerank import Reranker, bind_rerank
from nestvec.sql.bind.vectors.thresholds import bind_threshold, split
from nestvec.sql.parse.source import Source, folded
from nestvec_schemas.errors import SqlUnknownName

__all__ = ["MAX_ROWS", "MOST_ROWS", "Grouping", "Query", "bind_query", "check_all_is_read", "table_node"]


_NOTHING = Around()


@dataclass(frozen=True)
class Grouping:
    """Rows brought together by ``keys``, all in one group where there is none, and what is said of each."""

    keys: tuple[Expression, ...]
    summaries: tuple[Summary, ...]
    having: Expression | None = None


@dataclass(frozen=True)
class Query:
    """A bound query. Without ``limit`` every row is wanted.

    ``keep`` is a threshold on what ``nearest`` ranks by; ``best`` a column, of whose values each has its best
    row in the answer. ``distinct``: of rows with the same values of these, the first. ``keys`` are the order;
    beside ``nearest`` the first of them is by it.
    """

    table: Table
    outputs: tuple[Output, ...]
    where: Condition | None
    nearest: Ranking | None
    limit: int | None
    offset: int
    keep: Expression | None = None
    best: str = ""
    grouping: Grouping | None = None
    distinct: tuple[Expression, ...] | None = None
    keys: tuple[Key, ...] = ()
    rerank: Reranker | None = None


def bind_query(
    source: Source, select: exp.Select, table: Table, params: Params, around: Around = _NOTHING
) -> Query:
    """Bind a SELECT to its table, one without columns where it has no FROM.

    Raises SqlUnknownName, SqlTypeMismatch, SqlNotSupported or SqlSyntaxError, each with a position.
    """
    scope = Scope(source, table, called(table_node(source, select)), params, around)
    limit, offset = bind_window(source, select, params)
    items = list_items(scope, select)
    wanted = list_keys(scope, select, items)
    ranking = bind_ranking(scope, wanted)
    if ranking is not None:
        check_window(source, select, limit, offset)
    with _without_aliases(source, select):
        where, keep = _where(Reader(scope, "WHERE", ranking), select)
    rerank = bind_rerank(scope, select.args.get("order"), ranking)
    reader = Reader(scope, "the select list", ranking, summaries=True)
    outputs = bind_items(reader if rerank is None else replace(reader, nearest=Reranked()), items)
    keys = bind_keys(replace(reader, place="ORDER BY"), wanted)
    groups = bind_groups(replace(reader, place="GROUP BY", summaries=False), select, items)
    having = _having(replace(reader, place="HAVING"), select)
    query = Query(table, outputs, where, ranking, limit, offset, keep, keys=keys, rerank=rerank)
    if ranking is not None:
        query = _ranked(reader, query, select, groups, having)
        check_ranked(scope, ranking, query.keys, wanted)
    else:
        query = _gathered(source, query, groups, having)
    query = replace(query, distinct=_distinct(reader, select, query, wanted))
    if rerank is not None and (query.keep or query.best or query.distinct or len(query.keys) > 1):
        raise source.not_supported(
            "RERANK BY beside a threshold, a group, DISTINCT or a second key",
            select.args["order"],
            "Leave it out.",
        )
    check_all_is_read(source, select)
    return query


def _where(reader: Reader, select: exp.Select) -> tuple[Condition | None, Expression | None]:
    """What Milvus filters by, and the threshold on the ranking."""
    where = select.args.get("where")
    if where is None:
        return None, None
    if not reader.scope.table.columns:
        raise reader.scope.source.not_supported("WHERE without FROM", where, "Add FROM collection.")
    columns, thresholds = split(where.this)
    if not thresholds:
        return bind_condition(reader.scope, where.this), None
    kept = [bind_threshold(reader, one) for one in thresholds]
    bound = [bind_condition(reader.scope, one) for one in columns]
    condition = None if not bound else bound[0] if len(bound) == 1 else Every(tuple(bound))
    return condition, _every(kept)


@contextmanager
def _without_aliases(source: Source, select: exp.Select) -> Iterator[None]:
    """Say of a name that WHERE does not know, and the select list gives, why that is so."""
    try:
        yield
    except SqlUnknownName as error:
        named = {folded(one.args["alias"]) for one in select.expressions if isinstance(one, exp.Alias)}
        if error.value not in named:
            raise
        raise source.unknown_name(
            "a name of the select list means nothing in WHERE",
            str(error.value),
            error.position,
            "Write its expression there.",
        ) from None


def _every(conditions: Sequence[Expression]) -> Expression | None:
    if len(conditions) < 2:
        return conditions[0] if conditions else None
    return Apply("and", tuple(conditions))


def _having(reader: Reader, select: exp.Select) -> Expression | None:
    having = select.args.get("having")
    if having is None:
        return None
    typed = reader.bind(having.this)
    check(reader.scope.source, typed, "a condition", having.this, "HAVING")
    return typed.expression


def _ranked(
    reader: Reader,
    query: Query,
    select: exp.Select,
    groups: tuple[Group, ...] | None,
    having: Expression | None,
) -> Query:
    """A query of ranked rows: all, or the best of each group."""
    source, ranking = reader.scope.source, query.nearest
    expressions = [*(one.expression for one in query.outputs), *(one.expression for one in query.keys)]
    if having is not None:
        raise source.not_supported(
            "HAVING beside ORDER BY a distance", select.args["having"], "Write the threshold in WHERE."
        )
    if groups is None and ranking is not None:
        if summaries(expressions):
            raise source.not_supported(
                "an aggregate beside ORDER BY a distance",
                select.find(*SUMMARIES),
                "Write GROUP BY column for the best row of each of its values.",
            )
        return query
    if groups is None or ranking is None:
        return query
    best = best_group(reader, groups)
    outputs = [
        replace(one, expression=of_best(source, one.expression, ranking, node))
        for one, node in zip(query.outputs, _nodes(select, query), strict=True)
    ]
    order = select.args["order"]
    keys = [replace(one, expression=of_best(source, one.expression, ranking, order)) for one in query.keys]
    return replace(query, best=best, outputs=tuple(outputs), keys=tuple(keys))


def _nodes(select: exp.Select, query: Query) -> list[exp.Expr]:
    """Where each column of the answer stands; all at the list's start where * stands for some."""
    nodes = list(select.expressions)
    return nodes if len(nodes) == len(query.outputs) else [nodes[0]] * len(query.outputs)


def _gathered(
    source: Source, query: Query, groups: tuple[Group, ...] | None, having: Expression | None
) -> Query:
    """A query of rows in no ranking: as they are, or brought together."""
    expressions = [*(one.expression for one in query.outputs), *(one.expression for one in query.keys)]
    if having is not None:
        expressions.append(having)
    found = summaries(expressions)
    if groups is None and not found and having is None:
        return query
    by = tuple(one.expression for one in groups or ())
    outputs = [replace(one, expression=over_groups(source, one.expression, by)) for one in query.outputs]
    keys = [replace(one, expression=over_groups(source, one.expression, by)) for one in query.keys]
    kept = over_groups(source, having, by) if having is not None else None
    return replace(query, outputs=tuple(outputs), keys=tuple(keys), grouping=Grouping(by, found, kept))


def _distinct(
    reader: Reader, select: exp.Select, query: Query, wanted: Sequence[Wanted]
) -> tuple[Expression, ...] | None:
    """What DISTINCT looks at: the answer's columns, or those of ON. The order must go by them first."""
    clause, source = select.args.get("distinct"), reader.scope.source
    if clause is None:
        return None
    if query.nearest is not None:
        raise source.not_supported(
            "DISTINCT beside ORDER BY a distance",
            TokenType.DISTINCT,
            "GROUP BY column gives the best row of each of its values.",
        )
    on = clause.args.get("on")
    if on is None:
        made = tuple(one.expression for one in query.outputs)
        late = [at for key, at in zip(query.keys, wanted, strict=True) if key.expression not in made]
        if late:
            raise source.syntax_error(
                "with DISTINCT, ORDER BY names columns of the select list", late[0].at, "Add it there."
            )
        return made
    if query.grouping is not None:
        raise source.not_supported("DISTINCT ON beside GROUP BY", TokenType.DISTINCT, "Use one of them.")
    nodes = on.expressions if isinstance(on, exp.Tuple) else [on]
    made = tuple(replace(reader, place="DISTINCT ON", summaries=False).bind(one).expression for one in nodes)
    leading = {written(one.expression) for one in query.keys[: len(made)]}
    if query.keys and leading != {written(one) for one in made}:
        raise source.syntax_error(
            "DISTINCT ON and the first keys of ORDER BY are not the same",
            wanted[0].at,
            "Order by them first.",
        )
    return made
