"""What the steps of relational planning share: the tree as it changes, and the relations found so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from sqlglot import exp

from nestvec.milvus.catalog import ROW_ID, Table
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import Context, Scope
from nestvec.sql.bind.vectors.targets import Target
from nestvec.sql.parse.source import SourceText
from nestvec.sql.relational.names import source_node
from nestvec.sql.relational.relations import RankingScan, Relation
from nestvec.sql.settings import SessionSettings


@dataclass
class Planning:
    """The state of planning one statement."""

    source: SourceText
    params: Params
    settings: SessionSettings
    service: str
    tables: dict[str, Table] = field(default_factory=dict)
    """Collections by the names of their scans."""
    names: dict[str, str] = field(default_factory=dict)
    """The names of collections as the statement writes them, by the names of their scans."""
    schemas: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """DuckDB's types of the columns of every relation, by its name."""
    relations: list[Relation] = field(default_factory=list)
    targets: dict[str, Target] = field(default_factory=dict)
    residuals: dict[str, exp.Expr] = field(default_factory=dict)
    """For rankings, by name: the query that counts the rows that pass the statement's own conditions."""

    def columns(self, name: str) -> list[str]:
        """The columns of a relation that ``*`` stands for: its hidden key is none of them."""
        hidden = ROW_ID.name if name in self.tables else ""
        return [column for column in self.schemas[name] if column != hidden]

    def ranked_tables(self) -> list[Table]:
        """The collections whose rows Milvus ranks."""
        return [relation.table for relation in self.relations if isinstance(relation, RankingScan)]

    def context(self) -> Context:
        """What a condition or a distance may refer to."""
        return Context(self.tables, self.service)

    def scope(self, scan: str, alias: str) -> Scope:
        """The names of one collection, as a part of the statement sees them."""
        return Scope(self.source, self.tables[scan], alias, self.params, self.context())

    def scan_of(self, column: exp.Column) -> str | None:
        """The name of the scan that a qualified column belongs to; None if it is not one of a collection."""
        entry = source_node(column)
        name = entry.name if isinstance(entry, exp.Table) else ""
        return name if name in self.tables else None


def within(source: SourceText, node: exp.Expr) -> SourceText:
    """The part of a statement's tokens that belongs to a node, for checks of one part of the statement."""
    places = [child.meta for child in node.walk() if child.meta.get("start") is not None]
    if not places:
        return replace(source, tokens=())
    first = min(place["start"] for place in places)
    last = max(place.get("end", place["start"]) for place in places)
    return replace(source, tokens=tuple(token for token in source.tokens if first <= token.start <= last))


def has_decimals(planning: Planning) -> bool:
    """Whether a statement has a NUMERIC: a type that it names, a column or a parameter."""
    named = any(token.text.upper() in ("NUMERIC", "DECIMAL") for token in planning.source.tokens)
    tables = (*planning.tables.values(), *planning.ranked_tables())
    stored = (column.type_params.sql_type for table in tables for column in table.columns)
    supplied = (
        kind
        for name, schema in planning.schemas.items()
        if name not in planning.tables
        for kind in schema.values()
    )
    return (
        named
        or any(kind.startswith("numeric") for kind in stored)
        or any(kind.upper().startswith("DECIMAL") for kind in supplied)
        or any(isinstance(value, Decimal) for value in planning.params.values.values())
    )
