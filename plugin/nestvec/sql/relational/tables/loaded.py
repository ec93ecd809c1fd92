"""The tables of DuckDB that a plan's relations become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa

from nestvec.milvus.catalog import Column
from nestvec.sql.relational.arrow_rows import arrow_rows, casts_of
from nestvec.sql.relational.engine import add_table, quote
from nestvec.sql.relational.postgres import text_literal
from nestvec.sql.relational.relations import (
    CollectionScan,
    JoinFilter,
    RankingScan,
    RelationalPlan,
    SuppliedRelation,
    stored_column,
)
from nestvec.sql.result import StatementResult

_MAX_JOIN_VALUES: Final = 10_000
"""Values of a join that narrow a scan; with more, every row is read."""


@dataclass(frozen=True)
class LoadedTable:
    """An Arrow table for DuckDB."""

    data: pa.Table
    casts: Mapping[str, str] = field(default_factory=dict)


def ranked_table(scan: RankingScan, result: StatementResult) -> LoadedTable:
    """The rows of a search."""
    columns = []
    names = scan.plan.columns
    for name, kind, output in zip(names, result.types, scan.plan.outputs, strict=True):
        stored = stored_column(scan.plan, scan.table, output)
        if stored is not None:
            columns.append(replace(stored, name=name))
        else:
            columns.append(Column(name, kind if kind != "ANY" else "DOUBLE"))
    rows = [dict(zip(names, row, strict=True)) for row in result.rows]
    return LoadedTable(arrow_rows(columns, rows), casts_of(columns))


def scan_column(scan: CollectionScan, name: str) -> Column:
    """A column of a scan's collection; a name that is none is that of the dynamic fields."""
    return scan.table.column(name) or Column(name, "JSON", nullable=True)


def register_tables(connection: Any, plan: RelationalPlan, tables: Mapping[str, LoadedTable]) -> None:
    """Add the tables of a plan to an engine, and views of the files that it reads."""
    for name, table in tables.items():
        add_table(connection, name, table.data, table.casts)
    for relation in plan.relations:
        if isinstance(relation, SuppliedRelation) and relation.source:
            rows = f"FROM {relation.source}{_matching_rows(relation, tables)}"
            connection.execute(f"CREATE TEMP VIEW {quote(relation.name)} AS {rows}")


_KEY_TYPES: Final[dict[type, frozenset[str]]] = {
    int: frozenset({"BIGINT", "INTEGER", "SMALLINT", "TINYINT"}),
    str: frozenset({"VARCHAR"}),
}
"""DuckDB's types of columns that are compared with the values of a join as they are."""


def _matching_rows(relation: SuppliedRelation, tables: Mapping[str, LoadedTable]) -> str:
    """The WHERE by which a file is read no further than a join needs it; empty if it says nothing."""
    join = relation.join_filter
    values = None if join is None else join_values(join, tables)
    if join is None or values is None:
        return ""
    if not values:
        return " WHERE false"
    column = quote(join.column)
    if relation.columns.get(join.column) not in _KEY_TYPES[type(values[0])]:
        return ""
    listed = f" WHERE {column} IN ({', '.join(map(_literal, values))})"
    if relation.postgres is not None and isinstance(values[0], str):
        # PostgreSQL orders texts by its collation.
        return listed
    # The bounds skip groups of rows, and blocks of them, before they are decoded; the list does not.
    bounds = map(_literal, (min(values), max(values)))
    return f"{listed} AND {column} BETWEEN {' AND '.join(bounds)}"


def _literal(value: int | str) -> str:
    """A value of a key in DuckDB's SQL."""
    return str(value) if isinstance(value, int) else text_literal(value)


def join_values(join: JoinFilter, tables: Mapping[str, LoadedTable]) -> list[Any] | None:
    """The values of the column that a relation is joined with; None if they are too many to list."""
    if join.relation not in tables or join.relation_column not in tables[join.relation].data.column_names:
        return None
    column = tables[join.relation].data.column(join.relation_column)
    values = [value for value in column.unique().to_pylist() if value is not None]
    few = len(values) <= _MAX_JOIN_VALUES and len({type(value) for value in values}) <= 1
    return values if few and all(type(value) in (int, str) for value in values) else None
