"""Defaults that Milvus does not hold, as trees."""

from __future__ import annotations

from functools import lru_cache

from sqlglot import exp

from nestvec.milvus.catalog import Column, Table
from nestvec.sql.bind.dml.literals import is_default
from nestvec.sql.parse.parse import parse
from nestvec.sql.parse.source import SourceText


def default_query(sql: str) -> tuple[SourceText, exp.Expr]:
    """The text of a query that computes a default, and the tree of the default in it, which is not to be
    changed. Raises SqlError."""
    parsed = parse(f"SELECT {sql}")
    return parsed.source, parsed.tree.expressions[0]


def with_default(table: Table, column: Column, node: exp.Expr) -> exp.Expr:
    """What SET assigns: for DEFAULT, the expression of the column's default if nestvec evaluates it."""
    sql = table.default_expressions.get(column.name)
    return node if sql is None or not is_default(node) else _tree(sql)


@lru_cache(maxsize=256)
def _tree(sql: str) -> exp.Expr:
    """The tree of a default, without positions: its text is in no statement."""
    tree = default_query(sql)[1].copy()
    for node in tree.walk():
        node.meta.clear()
    return tree
