"""Runs a relational plan: fills its relations from Milvus, then hands the statement to DuckDB."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import pyarrow as pa

from nestvec.milvus.catalog import Column
from nestvec.milvus.steps import BlockingCall, Steps
from nestvec.sql.bind.conditions.nodes import And, Compare, Condition, InList
from nestvec.sql.bind.query import MAX_SCAN_ROWS, MAX_WINDOW
from nestvec.sql.bind.vectors.targets import Target
from nestvec.sql.execute.executor import run_plan
from nestvec.sql.execute.read import ReadRequest, query_rows, with_dynamic_fields
from nestvec.sql.execute.rows import missing_column
from nestvec.sql.execute.search import resolve_targets
from nestvec.sql.execute.upgrades.dual_reading import old_reading, searched_columns
from nestvec.sql.plan.filter import render_filter
from nestvec.sql.plan.nodes import HybridSearch, Node, TopKWithTies, UnaryNode, VectorSearch, source_of
from nestvec.sql.relational.arrow_rows import arrow_rows, casts_of
from nestvec.sql.relational.distances import distance_array
from nestvec.sql.relational.engine import INTERRUPTED, add_table, open_engine, quote
from nestvec.sql.relational.errors.error_location import located
from nestvec.sql.relational.errors.evaluation_order import in_evaluation_order
from nestvec.sql.relational.output import read_result, with_vector_sizes
from nestvec.sql.relational.relations import (
    FIRST_SCAN,
    CollectionScan,
    DuckdbStatement,
    RankingScan,
    RelationalPlan,
)
from nestvec.sql.relational.tables.loaded import (
    LoadedTable,
    join_values,
    ranked_table,
    register_tables,
    scan_column,
)
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec_schemas.errors import SqlDataError, SqlError, SqlNotSupported

_Answer = TypeVar("_Answer")

_WIDENING_FACTOR: Final = 4

_MAX_VECTOR_BYTES: Final = 4 << 30
"""Memory for the vectors of a scan."""

_FLOAT_BYTES: Final = 32
"""Memory of an element of a vector as pymilvus gives it: a Python number in a list."""


@dataclass
class RelationCounts:
    """What was read for each relation, by its name, for EXPLAIN ANALYZE."""

    rows: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def run_relational(
    session: Session, plan: RelationalPlan, counts: RelationCounts | None = None
) -> Steps[StatementResult]:
    """The rows of a plan. Raises SqlError, StoreError, ServiceError."""
    started = time.perf_counter()
    tables, params = yield from _load(session, plan, RelationCounts() if counts is None else counts)
    try:
        result: StatementResult = yield BlockingCall(lambda client: _execute(plan, tables, params))
    except SqlError as error:
        raise located(plan, error) from None
    return replace(result, seconds=time.perf_counter() - started)


def run_over_rows(
    session: Session, plan: RelationalPlan, rows: Sequence[Mapping[str, Any]]
) -> Steps[StatementResult]:
    """The rows of a plan, where those of its first collection are not read, but these."""
    relations = tuple(
        replace(relation, rows=rows)
        if isinstance(relation, CollectionScan) and relation.name == FIRST_SCAN
        else relation
        for relation in plan.relations
    )
    return (yield from run_relational(session, replace(plan, relations=relations)))


def relational_typed(session: Session, plan: RelationalPlan) -> Steps[tuple[StatementResult, pa.Table]]:
    """The rows of a plan, also as an Arrow table with DuckDB's types. Raises as ``run_relational`` does."""
    tables, params = yield from _load(session, plan, RelationCounts())

    def run(sql: str) -> tuple[StatementResult, pa.Table]:
        with open_engine(plan.reads_files, plan.postgres) as connection:
            register_tables(connection, plan, tables)
            # The query runs once: random() and what others write meanwhile are the same in both forms.
            connection.execute(f"CREATE TEMP TABLE result AS {sql}", params)
            for name, type_ in _written_numbers(connection, plan).items():
                connection.execute(f"ALTER TABLE result ALTER COLUMN {quote(name)} TYPE {type_}")
            table = connection.execute("FROM result").to_arrow_table()
            result = read_result(connection, replace(plan, sql="FROM result"), {})
            return result, with_vector_sizes(table.rename_columns(list(plan.columns)), plan.output.postgres)

    try:
        answer: tuple[StatementResult, pa.Table] = yield BlockingCall(
            lambda client: _in_order(DuckdbStatement(plan.sql, plan.tree), run)
        )
    except SqlError as error:
        raise located(plan, error) from None
    return answer


_TYPES_OF_TEXTS: Final = {
    ("DECIMAL", "VARCHAR"): "DECIMAL(38, 16)",
    ("DECIMAL[]", "VARCHAR[]"): "DECIMAL(38, 16)[]",
}
"""DuckDB's types of numbers, by PostgreSQL's and that of their texts."""


def _written_numbers(connection: Any, plan: RelationalPlan) -> dict[str, str]:
    """The columns of the table of a result that are texts of numbers, as exact averages are, with types."""
    described = connection.execute("DESCRIBE result").fetchall()
    columns = zip(described, plan.output.postgres, strict=False)
    types = {str(row[0]): _TYPES_OF_TEXTS.get((type_, str(row[1]))) for row, type_ in columns}
    return {name: type_ for name, type_ in types.items() if type_ is not None}


def _execute(
    plan: RelationalPlan, tables: Mapping[str, LoadedTable], params: Mapping[str, Any]
) -> StatementResult:
    def run(sql: str) -> StatementResult:
        with open_engine(plan.reads_files, plan.postgres) as connection:
            register_tables(connection, plan, tables)
            return read_result(connection, replace(plan, sql=sql), params)

    return _in_order(DuckdbStatement(plan.sql, plan.tree), run)


def _in_order(statement: DuckdbStatement, run: Callable[[str], _Answer]) -> _Answer:
    """What a statement gives. Where it has the error of a value, it is run again, with its operands in
    PostgreSQL's order, which may not come to that value; the first run has written nothing."""
    try:
        return run(statement.sql)
    except SqlDataError as error:
        stopped = INTERRUPTED in str(error.cause)
        ordered = "" if stopped or statement.tree is None else in_evaluation_order(statement.tree)
        if not ordered:
            raise
        try:
            return run(ordered)
        except SqlError:
            raise error from None


def _load(
    session: Session, plan: RelationalPlan, counts: RelationCounts
) -> Steps[tuple[dict[str, LoadedTable], dict[str, Any]]]:
    """The tables of the plan's relations, and the values of its parameters."""
    yield from session.ensure_served(plan.services)
    names = list(plan.targets)
    vectors = yield from resolve_targets(session, [plan.targets[name] for name in names])
    params = {**plan.params, **dict(zip(names, vectors, strict=True))}
    tables: dict[str, LoadedTable] = {}
    for relation in plan.relations:
        started = time.perf_counter()
        if isinstance(relation, RankingScan):
            tables[relation.name] = yield from _read_ranking(session, relation)
        elif isinstance(relation, CollectionScan):
            tables[relation.name] = yield from _read_scan(session, relation, tables)
        elif relation.data is not None:
            tables[relation.name] = LoadedTable(relation.data)
        if relation.name in tables:
            counts.rows[relation.name] = tables[relation.name].data.num_rows
            counts.seconds[relation.name] = time.perf_counter() - started
    return tables, params


def _read_ranking(session: Session, scan: RankingScan) -> Steps[LoadedTable]:
    """The rows of a search; with a residual condition, of ever wider ones until enough rows pass it."""
    plan = scan.plan
    reading = old_reading(session, scan.table, searched_columns(source_of(plan.node)))
    while True:
        result = yield from run_plan(reading, plan)
        loaded = ranked_table(scan, result)
        if scan.residual is None:
            return loaded
        passing = yield from _count_passing(scan, scan.residual, loaded)
        if passing >= scan.row_goal:
            return loaded
        limit = _row_limit(plan.node)
        if limit is None or result.count < limit or limit >= MAX_WINDOW:
            if scan.fallback is not None:
                # An index may end early: every row is compared.
                return (yield from _read_scan(session, scan.fallback, {}))
            if limit is not None and result.count < limit:
                return loaded
            raise SqlNotSupported(
                f"{passing:,} of the {result.count:,} rows of {scan.table.name} that rank first pass what "
                f"Milvus cannot filter by; finding {scan.row_goal:,} is not supported",
                next_step="Compare columns with constants in WHERE, or use a smaller LIMIT.",
            )
        plan = replace(plan, node=_with_limit(plan.node, min(limit * _WIDENING_FACTOR, MAX_WINDOW)))


def _row_limit(node: Node) -> int | None:
    """How many rows a ranking gives at most, ties of the last aside; None if it cannot give more."""
    while isinstance(node, UnaryNode) and not isinstance(node, TopKWithTies):
        node = node.input
    if not isinstance(source_of(node), (VectorSearch, HybridSearch)):
        return None
    return node.limit if isinstance(node, (TopKWithTies, VectorSearch, HybridSearch)) else None


def _with_limit(node: Node, limit: int) -> Node:
    """The same ranking of more rows."""
    if isinstance(node, TopKWithTies):
        return replace(node, limit=limit, input=_with_limit(node.input, limit))
    if isinstance(node, UnaryNode):
        return replace(node, input=_with_limit(node.input, limit))
    if isinstance(node, HybridSearch):
        parts = tuple(replace(part, limit=max(part.limit, limit)) for part in node.parts)
        return replace(node, limit=limit, parts=parts)
    return replace(node, limit=limit) if isinstance(node, VectorSearch) else node


def _count_passing(scan: RankingScan, residual: DuckdbStatement, loaded: LoadedTable) -> Steps[int]:
    def count(sql: str) -> int:
        with open_engine() as connection:
            add_table(connection, scan.name, loaded.data, loaded.casts)
            row = connection.execute(sql).fetchone()
            return int(row[0]) if row else 0

    counted: int = yield BlockingCall(lambda client: _in_order(residual, count))
    return counted


def _read_scan(
    session: Session, scan: CollectionScan, tables: Mapping[str, LoadedTable]
) -> Steps[LoadedTable]:
    """The rows of a collection. Raises SqlNotSupported beyond MAX_SCAN_ROWS."""
    rows = scan.rows
    old_reading(session, scan.table, [distance.column for distance in scan.distances])
    if rows is None:
        rows = yield from _query_scan(session, scan, tables)
    columns = [scan_column(scan, name) for name in scan.columns or scan.fields]
    data = arrow_rows(columns, rows)
    targets: list[Target] = [distance.target for distance in scan.distances]
    vectors = yield from resolve_targets(session, targets)
    for distance, vector in zip(scan.distances, vectors, strict=True):
        values = [row.get(distance.column) for row in rows]
        measured = distance_array(scan_column(scan, distance.column), distance.metric, values, vector)
        data = data.append_column(distance.name, measured)
    return LoadedTable(data, casts_of(columns))


def _query_scan(
    session: Session, scan: CollectionScan, tables: Mapping[str, LoadedTable]
) -> Steps[Sequence[Mapping[str, Any]]]:
    table, fields = scan.table, scan.fields
    yield from session.ensure_loaded(table.name)
    condition = _narrowed(scan, tables)
    request = ReadRequest(
        f"querying collection {table.name}",
        table.name,
        render_filter(condition),
        fields,
        session.read_options(),
    )
    most = _max_rows([scan_column(scan, name) for name in fields])
    limit = most + 1 if scan.limit is None else min(scan.limit, most + 1)
    rows = [] if limit == 0 else (yield from query_rows(session, request, limit))
    if len(rows) > most:
        vectors_read = "" if most == MAX_SCAN_ROWS else " with their vectors"
        raise SqlNotSupported(
            f"reading more than {most:,} rows of {table.name}{vectors_read} is not supported",
            next_step="nestvec holds them all in memory: narrow them with WHERE.",
        )
    absent = [name for name in fields if rows and table.column(name) is not None and name not in rows[0]]
    if absent:
        raise missing_column(absent[0])
    return with_dynamic_fields(session, table.name, fields, rows)


def _max_rows(columns: Sequence[Column]) -> int:
    """How many rows of these columns a scan may hold."""
    elements = sum(column.dim or 0 for column in columns if column.type == "FLOAT_VECTOR")
    return min(MAX_SCAN_ROWS, _MAX_VECTOR_BYTES // (_FLOAT_BYTES * elements)) if elements else MAX_SCAN_ROWS


def _narrowed(scan: CollectionScan, tables: Mapping[str, LoadedTable]) -> Condition | None:
    """The condition of a scan, with the values of a join where they are few."""
    join = scan.join_filter
    values = None if join is None else join_values(join, tables)
    if join is None or values is None:
        return scan.condition
    column = scan_column(scan, join.column)
    matching: Condition = InList(column, tuple(values)) if values else _nothing(column)
    return matching if scan.condition is None else And((scan.condition, matching))


def _nothing(column: Column) -> Condition:
    value = "" if column.type in ("VARCHAR", "STRING", "TEXT") else 0
    return And((Compare(column, "<", value), Compare(column, ">", value)))
