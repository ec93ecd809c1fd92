"""A relational plan, as data: the tables that DuckDB is given, and the statement that it runs over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlglot import exp

from nestvec.milvus.catalog import Column, Table
from nestvec.sql.bind.conditions.nodes import Condition
from nestvec.sql.bind.select_list import OutputColumn
from nestvec.sql.bind.values import ColumnRef
from nestvec.sql.bind.vectors.targets import Target, target_services
from nestvec.sql.parse.source import SourceText
from nestvec.sql.plan.nodes import ForEachQuery, Plan
from nestvec.sql.relational.postgres import PostgresTable

FIRST_SCAN: Final = "scan_0"
"""The name of the relation that FROM of the outermost query names first."""


@dataclass(frozen=True)
class DistanceColumn:
    """A distance of every row of a scan, computed while it is read."""

    name: str
    column: str
    """The vector column."""
    metric: str
    """``COSINE``, ``L2``, ``IP``, ``L1``, ``HAMMING`` or ``JACCARD``."""
    target: Target


@dataclass(frozen=True)
class JoinFilter:
    """A scan needs only the rows whose ``column`` occurs in a relation that is read before."""

    column: str
    relation: str
    relation_column: str


@dataclass(frozen=True)
class CollectionScan:
    """The rows of a collection that may matter."""

    name: str
    """What the statement for DuckDB calls it."""
    table: Table
    columns: tuple[str, ...]
    condition: Condition | None = None
    """What Milvus filters by: implied by the statement, but not always all of it."""
    limit: int | None = None
    """Rows that suffice; None for all."""
    distances: tuple[DistanceColumn, ...] = ()
    join_filter: JoinFilter | None = None
    rows: Sequence[Mapping[str, Any]] | None = None
    """The rows, where the statement has them already; None to read them."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that are read: those of the statement, and those of the distances."""
        measured = (distance.column for distance in self.distances)
        return tuple(dict.fromkeys((*self.columns, *measured))) or (self.table.primary.name,)


@dataclass(frozen=True)
class DuckdbStatement:
    """A statement for DuckDB."""

    sql: str
    tree: exp.Expr | None = None
    """What it was written from, where the order in which its operands are computed can matter."""


@dataclass(frozen=True)
class RankingScan:
    """The rows of a search that Milvus ranks, best first."""

    name: str
    plan: Plan
    table: Table
    row_goal: int = 0
    """Rows that the statement wants of those that pass ``residual``; 0 if the plan gives them all."""
    residual: DuckdbStatement | None = None
    """A query for the number of rows that pass what Milvus cannot filter; None if it filters all."""
    columns: tuple[str, ...] = ()
    fallback: CollectionScan | None = None
    """Every row with its distance, where no search of the ranking gives enough."""


@dataclass(frozen=True)
class SuppliedRelation:
    """A table of the caller or of PostgreSQL, or a file."""

    name: str
    data: Any = None
    """An Arrow table; None for a file."""
    call: str = ""
    """The function that reads the file, in DuckDB's SQL."""
    join_filter: JoinFilter | None = None
    """Which of its rows can be joined, where the statement says it."""
    postgres: PostgresTable | None = None
    """The table of PostgreSQL that it is."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """DuckDB's types of its columns, as it was planned."""

    @property
    def source(self) -> str:
        """What DuckDB reads it by; empty for a table of the caller."""
        return self.call if self.postgres is None else self.postgres.call


Relation = CollectionScan | RankingScan | SuppliedRelation


@dataclass(frozen=True)
class OutputTypes:
    """What DuckDB does not tell of a result's columns."""

    decimals: bool = False
    """Whether the statement names a NUMERIC type, so that results keep it."""
    postgres: tuple[str, ...] = ()
    """The types of the columns in PostgreSQL, as sqlglot names them, or ``vector(3)``; empty if unknown."""


@dataclass(frozen=True)
class RelationalPlan:
    """A statement for DuckDB, and the relations that it reads."""

    sql: str
    columns: tuple[str, ...]
    """Names of the result's columns."""
    relations: tuple[Relation, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    """Values of the statement's own parameters."""
    targets: Mapping[str, Target] = field(default_factory=dict)
    """Vectors that parameters of the statement stand for."""
    reason: str = ""
    """Why Milvus alone does not carry out the statement, for EXPLAIN."""
    source: SourceText = field(default_factory=lambda: SourceText(""))
    """The text of the statement, for errors that point into it."""
    query: exp.Expr | None = None
    """Its tree."""
    output: OutputTypes = OutputTypes()
    """Types of its columns that DuckDB does not tell."""
    tree: exp.Expr | None = None
    """The tree of ``sql``, where the order in which its operands are computed can matter."""

    @property
    def services(self) -> tuple[str, ...]:
        """Base URLs of the services that embed the statement's texts."""
        scans = (relation for relation in self.relations if isinstance(relation, CollectionScan))
        measured = (distance.target for scan in scans for distance in scan.distances)
        services = (target_services(target) for target in (*self.targets.values(), *measured))
        return tuple(dict.fromkeys(service for each in services for service in each))

    @property
    def reads_files(self) -> bool:
        """Whether DuckDB needs access to files."""
        return any(isinstance(relation, SuppliedRelation) and relation.call for relation in self.relations)

    @property
    def postgres(self) -> tuple[PostgresTable, ...]:
        """The tables of PostgreSQL that are read."""
        supplied = (relation for relation in self.relations if isinstance(relation, SuppliedRelation))
        return tuple(relation.postgres for relation in supplied if relation.postgres is not None)


def stored_column(plan: Plan, table: Table, output: OutputColumn) -> Column | None:
    """The column of the collection that a column of a plan's rows is; None for any other value."""
    name = output.expression.name if isinstance(output.expression, ColumnRef) else ""
    if isinstance(plan.node, ForEachQuery):
        side, _, name = name.partition(".")
        if side != plan.node.right:
            return None
    return table.column(name)
