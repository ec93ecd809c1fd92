"""Statements that name a collection by its alias."""

from __future__ import annotations

import re

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.sql.parse.source import SourceText, identifier_name


def readers_alias(source: SourceText, node: exp.Table, table: Table) -> str | None:
    """The alias by which a table is named that a change of its embeddings filled; None for its own name.

    Raises SqlNotSupported for any other alias: dropping or renaming it would drop or rename what it leads to.
    """
    names = (identifier_name(node.this), str(node.this.this))
    if table.name in names:
        return None
    numbered = re.fullmatch(r"(.+)__[0-9]+", table.name)
    if numbered is not None and numbered[1] in names:
        return numbered[1]
    raise source.not_supported(
        "an alias of a collection in this statement", node, f"Write the collection's own name: {table.name}."
    )
