"""Parts of a statement that Milvus ranks: whole sub-SELECTs, and the candidates of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.order import STRICT, SortKey, find_measure, monotonicity
from nestvec.sql.bind.query import MAX_WINDOW
from nestvec.sql.bind.scope import Context, Scope
from nestvec.sql.bind.select import bind_query, table_name, table_node
from nestvec.sql.bind.values import BeyondMilvus, Constant
from nestvec.sql.bind.vectors.distance import DistanceRanking
from nestvec.sql.bind.vectors.embed import query_request
from nestvec.sql.bind.vectors.targets import EmbeddedText
from nestvec.sql.parse.completeness import mark_consumed
from nestvec.sql.parse.dialect import Rerank, VectorDistance
from nestvec.sql.parse.hints import shortlist_hint
from nestvec.sql.parse.source import SourceText, identifier_name
from nestvec.sql.plan.adaptive import add_shortlist
from nestvec.sql.plan.nodes import Filter, Node, Plan, Rescore, TopKWithTies, source_of
from nestvec.sql.plan.select import plan_query
from nestvec.sql.relational.arrow_rows import ranking_schema
from nestvec.sql.relational.names import base_tables, from_entries
from nestvec.sql.relational.planning import Planning, within
from nestvec.sql.relational.rankings.laterals import take_lateral
from nestvec.sql.relational.rankings.select_lists import RANK, split_select
from nestvec.sql.relational.relations import CollectionScan, DistanceColumn, RankingScan
from nestvec.sql.relational.scans import Term, conjunction, constant_window, terms_of
from nestvec_schemas.errors import SqlError

_FIRST_CANDIDATES = 100
"""Rows of a first search whose rows are checked by a condition that Milvus cannot filter by."""

_CANDIDATES_PER_ROW = 4

_WHOLE_PARTS = ("with_", "joins", "laterals", "windows", "qualify", "locks", "sample")
_ROWWISE_PARTS = (*_WHOLE_PARTS, "group", "having", "distinct")


def take_rankings(planning: Planning, tree: exp.Expr, tables: dict[int, Table]) -> exp.Expr:
    """Replace sub-SELECTs that Milvus ranks as a whole by the relations of their rows. Returns the tree.

    ``tables`` are the collections by the ids of their nodes.
    """
    named = {identifier_name(node.this): tables[id(node)] for node in base_tables(tree) if id(node) in tables}
    tree = take_lateral(planning, tree, named)
    for select in list(tree.find_all(exp.Select)):
        if select is not tree and select.root() is not tree:
            continue
        table = _single_table(select, tables, _WHOLE_PARTS)
        if table is None or not _ranks(select):
            continue
        try:
            plan, columns = _plan_whole(planning, select, table, named)
        except SqlError:
            # The other steps of planning find what is wrong, or do more than Milvus.
            continue
        name = f"ranking_{len(planning.relations)}"
        ranking = RankingScan(name, plan, table)
        planning.relations.append(ranking)
        replacement = exp.select(*columns).from_(exp.Table(this=exp.to_identifier(name, quoted=True)))
        planning.schemas[name] = ranking_schema(ranking)
        if select is tree:
            return replacement
        select.replace(replacement)
    return tree


def _single_table(select: exp.Select, tables: dict[int, Table], refused: tuple[str, ...]) -> Table | None:
    """The only collection that a SELECT reads, if it has none of the refused parts."""
    if any(select.args.get(part) for part in refused):
        return None
    entries = from_entries(select)
    if len(entries) != 1 or entries[0].args.get("sample"):
        return None
    return tables.get(id(entries[0]))


def _ranks(select: exp.Select) -> bool:
    order = select.args.get("order")
    if order is None or select.args.get("limit") is None or not order.expressions:
        return False
    return find_measure(_key(select, order.expressions[0])) is not None


def _key(select: exp.Select, ordered: exp.Expr) -> exp.Expr:
    """The expression of a sort key, where it may be named by an alias of the select list."""
    node: exp.Expr = ordered.this
    if isinstance(node, exp.Literal) and node.name.isdecimal() and not node.is_string:
        if any(item.is_star for item in select.expressions):
            return node
        position = int(node.name[:9])
        item = select.expressions[position - 1] if 0 < position <= len(select.expressions) else node
        positioned: exp.Expr = item.this if isinstance(item, exp.Alias) else item
        return positioned
    if isinstance(node, exp.Column) and not node.table:
        name = identifier_name(node.this)
        for item in select.expressions:
            if isinstance(item, exp.Alias) and identifier_name(item.args["alias"]) == name:
                aliased: exp.Expr = item.this
                return aliased
    return node


def _plan_whole(
    planning: Planning, select: exp.Select, table: Table, named: Mapping[str, Table]
) -> tuple[Plan, list[exp.Expr]]:
    """The plan of a SELECT on ``table``, and its list over the rows of the plan.

    ``named`` are the collections of its subqueries for vectors.
    """
    # A hint may stand before the first name.
    source = planning.source if select.parent is None else within(planning.source, select)
    context = Context(named, planning.service)
    try:
        plan = _plan_search(planning, source, select, table, context)
        return plan, [exp.column(column, quoted=True) for column in plan.columns]
    except BeyondMilvus:
        scope = Scope(source, table, table_name(table_node(source, select)), planning.params, context)
        split = split_select(scope, select)
        return _plan_search(planning, source, split.search, table, context), split.items


def _plan_search(
    planning: Planning, source: SourceText, select: exp.Select, table: Table, context: Context
) -> Plan:
    mark_consumed(select)
    plan = plan_query(bind_query(source, select, table, planning.params, context))
    return add_shortlist(plan, table, planning.settings, shortlist_hint(source), source)


def take_candidates(planning: Planning, tree: exp.Expr) -> None:
    """Let Milvus rank the rows of SELECTs whose other parts DuckDB does: expressions, residual conditions.

    Raises SqlNotSupported for RERANK BY in such a SELECT, as DuckDB would leave it out.
    """
    rerank = tree.find(Rerank)
    if rerank is not None:
        raise planning.source.not_supported(
            "RERANK BY of rows that Milvus does not filter and cut by itself",
            rerank,
            "Write it in a sub-SELECT with LIMIT, whose WHERE compares columns with constants.",
        )
    nodes = {
        id(node): planning.tables[node.name]
        for node in tree.find_all(exp.Table)
        if node.name in planning.tables
    }
    for select in list(tree.find_all(exp.Select)):
        table = _single_table(select, nodes, _ROWWISE_PARTS)
        entry = from_entries(select)[0] if table is not None else None
        if isinstance(entry, exp.Table) and _ranks(select) and _is_rowwise(select):
            _take(planning, select, entry)


def _is_rowwise(select: exp.Select) -> bool:
    """Whether the first rows by the ranking suffice: only ranks by the same key read several rows."""
    key = _key(select, select.args["order"].expressions[0])
    for node in (*select.expressions, select.args["order"]):
        for window in node.find_all(exp.Window):
            order = window.args.get("order")
            ranks = isinstance(window.this, (exp.RowNumber, exp.Rank, exp.DenseRank))
            if not ranks or window.args.get("partition_by") or window.args.get("spec") or order is None:
                return False
            if (
                len(order.expressions) != 1
                or order.expressions[0].this != key
                or order.expressions[0].args.get("desc")
            ):
                return False
        aggregates = [part for part in node.find_all(exp.AggFunc) if not isinstance(part.parent, exp.Window)]
        if aggregates or any(True for _ in node.find_all(exp.Unnest, exp.Explode)):
            return False
    return True


def _plan_candidates(
    planning: Planning,
    select: exp.Select,
    entry: exp.Table,
    terms: list[Term],
    columns: list[str],
    ranked: exp.Expr,
) -> Plan:
    """The plan of the search for the rows of a SELECT, with their columns and the value that ranks them."""
    table, alias = planning.tables[entry.name], entry.alias_or_name
    node = exp.Table(
        this=exp.to_identifier(table.name, quoted=True),
        alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)),
    )
    items = [exp.column(name, table=alias, quoted=True) for name in columns]
    search = exp.Select(
        expressions=[*items, exp.alias_(ranked.copy(), RANK, quoted=True)],
        from_=exp.From(this=node),
        order=select.args["order"].copy(),
        # The rows that OFFSET skips are ranked, too: DuckDB skips them.
        limit=exp.Limit(expression=exp.Literal.number(constant_window(select) or 0)),
    )
    # Other keys may be expressions: DuckDB sorts by all of them, among enough rows.
    search.args["order"].set("expressions", [select.args["order"].expressions[0].copy()])
    search.args["order"].expressions[0].set("this", _key(select, select.args["order"].expressions[0]).copy())
    thresholds = [term.node.copy() for term in terms if term.of_distance]
    if thresholds:
        search.set("where", exp.Where(this=exp.and_(*thresholds)))
    mark_consumed(search)
    source = SourceText(planning.source.text)
    query = bind_query(source, search, table, planning.params, planning.context())
    conditions = [term.condition for term in terms if term.condition is not None]
    query = replace(query, where=conjunction(conditions))
    row_goal = (query.limit or 0) + query.offset
    residual = any(not term.complete and not term.of_distance for term in terms)
    ties = len(select.args["order"].expressions) > 1
    limit = max(_CANDIDATES_PER_ROW * row_goal, _FIRST_CANDIDATES) if residual else row_goal
    query = replace(query, limit=min(limit, MAX_WINDOW), offset=0)
    if ties:
        keys = (*query.ordering.keys, SortKey(Constant(None)))
        query = replace(query, ordering=replace(query.ordering, keys=keys))
    plan = plan_query(query)
    if ties:
        plan = replace(plan, node=_keeping_ties(plan.node))
    return add_shortlist(plan, table, planning.settings, shortlist_hint(planning.source), planning.source)


def _keeping_ties(node: Node) -> Node:
    """The same plan with all rows that are as far away as the last: DuckDB puts them in order."""
    if isinstance(node, TopKWithTies):
        return replace(node, with_ties=True)
    return replace(node, input=_keeping_ties(node.input)) if isinstance(node, Filter) else node


def _use_rank(select: exp.Select, alias: str, ranked: exp.Expr) -> None:
    """Read the value that ranks the rows from the search, wherever the SELECT computes it."""
    for node in [node for node in select.walk() if type(node) is type(ranked) and node == ranked]:
        node.replace(exp.column(RANK, table=alias, quoted=True))


def _take(planning: Planning, select: exp.Select, entry: exp.Table) -> None:
    alias, scan = entry.alias_or_name, entry.name
    measure = find_measure(_key(select, select.args["order"].expressions[0]))
    row_goal = constant_window(select)
    terms = terms_of(planning, select.args.get("where"), scan, alias)
    residual = [term.node.copy() for term in terms if not term.complete and not term.of_distance]
    if measure is None or row_goal is None or any(_reads_more(node, alias) for node in residual):
        return
    keys = select.args["order"].expressions
    if len(keys) > 1 and abs(monotonicity(planning.scope(scan, alias), _key(select, keys[0]))) < STRICT:
        # Of rows with the same first key, those farther away may come first.
        return
    body = select.copy()
    # Every row may have to stand in for the search, which applies thresholds itself.
    thresholds = [term.node.copy() for term in terms if term.of_distance] if residual else []
    body.set("where", exp.Where(this=exp.and_(*residual, *thresholds)) if residual else None)
    _use_rank(body, alias, measure.node)
    if body.find(VectorDistance) is not None:
        # Another distance needs the vectors themselves: a scan computes both.
        return
    used = dict.fromkeys(column.name for column in body.find_all(exp.Column) if column.table == alias)
    columns = [name for name in planning.schemas[scan] if name in used]
    try:
        plan = _plan_candidates(planning, select, entry, terms, columns, measure.node)
    except SqlError:
        # The scan of every row finds what is wrong, or does more than Milvus.
        return
    name = f"candidates_{len(planning.relations)}"
    schema = {column: planning.schemas[scan][column] for column in columns} | {RANK: "double"}
    planning.schemas[name] = schema
    for part, value in body.args.items():
        select.set(part, value)
    select.set("where", body.args.get("where"))
    from_entries(select)[0].set("this", exp.to_identifier(name, quoted=True))
    table = planning.tables.pop(scan)
    fallback = None
    if residual:
        planning.residuals[name] = _residual_count(select, residual)
        fallback = _every_row(planning, name, table, terms, columns, plan)
    planning.relations.append(RankingScan(name, plan, table, row_goal=row_goal, fallback=fallback))


def _reads_more(node: exp.Expr, alias: str) -> bool:
    """Whether a condition needs more than the rows of one entry: a subquery, or the query around it."""
    columns = node.find_all(exp.Column)
    return node.find(exp.Query) is not None or any(column.table != alias for column in columns)


def _residual_count(select: exp.Select, residual: list[exp.Expr]) -> exp.Expr:
    """How many of the candidates pass the residual conditions."""
    entry = from_entries(select)[0].copy()
    return exp.select(exp.Count(this=exp.Star())).from_(entry).where(*[node.copy() for node in residual])


def _every_row(
    planning: Planning, name: str, table: Table, terms: list[Term], columns: list[str], plan: Plan
) -> CollectionScan | None:
    """The scan that stands in for a search by one distance that does not give enough rows."""
    search = source_of(plan.node)
    nearest = search.full_search.nearest if isinstance(search, Rescore) else getattr(search, "nearest", None)
    if not isinstance(nearest, DistanceRanking) or nearest.metric == "BM25":
        return None
    target = nearest.target
    if isinstance(target, str):
        column, embedding = nearest.column, table.embedding(nearest.column)
        if embedding is None:
            return None
        scope = Scope(planning.source, table, table.name, planning.params, planning.context())
        target = EmbeddedText(target, query_request(scope, table.column(column) or table.primary, exp.Null()))
    conditions = [term.condition for term in terms if term.condition is not None]
    distance = DistanceColumn(RANK, nearest.column, nearest.metric, target)
    return CollectionScan(
        name, table, tuple(columns), condition=conjunction(conditions), distances=(distance,)
    )
