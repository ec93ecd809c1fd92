"""Changes of collections that other connections make: which statements must know of them at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlglot import exp

from nestvec.milvus.catalog import Table, described_columns, described_embeddings

MAPPED_SECONDS: Final = 1.0
"""How long the columns of a collection whose types are stored by a mapping are taken for what they were: the
same number of Milvus is another value of another type."""

_META_KEY: Final = "depends_on_columns"
"""Where it is kept in a tree's ``meta``."""


def depends_on_columns(tree: exp.Expr) -> bool:
    """Whether a statement means something else once its collections have other columns, and Milvus would not
    refuse it: ``*``, NATURAL JOIN, a row as one value, and all that writes or copies rows."""
    # Executions of the same text share one tree, which never changes.
    if _META_KEY not in tree.meta:
        opened = isinstance(tree, exp.DML) or any(map(_is_open, tree.walk())) or names_row(tree)
        tree.meta[_META_KEY] = opened
    depends: bool = tree.meta[_META_KEY]
    return depends


def names_row(tree: exp.Expr) -> bool:
    """Whether an expression has the name of a table of FROM where a column's is expected: ``to_jsonb(t)``."""
    tables = {table.alias_or_name for table in tree.find_all(exp.Table)}
    return any(not column.table and column.name in tables for column in tree.find_all(exp.Column))


def _is_open(node: exp.Expr) -> bool:
    if isinstance(node, exp.Join):
        return str(node.args.get("method") or "").upper() == "NATURAL"
    return isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count)


def is_described(table: Table, described: Mapping[str, Any]) -> bool:
    """Whether a description is of the same columns and properties as when the table was read; its indexes
    are not part of it."""
    properties = dict(described.get("properties") or {})
    return (
        table.name == described.get("collection_name", table.name)
        and table.columns == described_columns(described, properties)
        and table.embeddings == tuple(described_embeddings(described))
        and table.dynamic == bool(described.get("enable_dynamic_field"))
        and all(table.properties.get(key) == value for key, value in properties.items())
    )
