"""Statements that name a collection by its alias."""

from __future__ import annotations

from sqlglot import exp

from nestvec.ingest.write.names import readers_name
from nestvec.milvus.catalog import Table
from nestvec.sql.parse.source import SourceText, identifier_name


def readers_alias(source: SourceText, node: exp.Table, table: Table) -> str | None:
    """The alias by which a table is named that a change of its embeddings filled; None for its own name.

    Raises SqlNotSupported for any other alias: dropping or renaming it would drop or rename what it leads to.
    """
    names = (identifier_name(node.this), str(node.this.this))
    if table.name in names:
        return None
    alias = readers_name(table.name)
    if alias in names:
        return alias
    raise source.not_supported(
        "an alias of a collection in this statement", node, f"Write the collection's own name: {table.name}."
    )
