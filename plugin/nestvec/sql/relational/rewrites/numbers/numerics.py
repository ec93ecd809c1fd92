"""Computed NUMERICs, exact wherever they are: as texts, as values of DuckDB, and as keys to compare."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import kind
from nestvec.sql.relational.rewrites.numbers.array_texts import write_arrays
from nestvec.sql.relational.rewrites.numbers.derived_columns import mark_columns
from nestvec.sql.relational.rewrites.numbers.group_keys import mark_group_keys
from nestvec.sql.relational.rewrites.numbers.numeric_series import write_series
from nestvec.sql.relational.rewrites.numbers.numeric_texts import write_numerics, write_results
from nestvec.sql.relational.rewrites.numbers.numeric_types import NUMERIC
from nestvec.sql.relational.rewrites.numbers.numeric_values import write_values


def write_exactly(tree: exp.Expr, nodes: Sequence[exp.Expr]) -> tuple[exp.Expr, bool]:
    """Write the NUMERICs of a typed tree. Returns the tree, which is changed, and whether there were any."""
    if not any(kind(node) == NUMERIC for node in nodes):
        return tree, False
    if write_series(nodes):
        nodes = list(tree.walk())
    _separate_names(nodes)
    tree = mark_columns(tree, list(tree.walk()))
    mark_group_keys(list(tree.walk()))
    write_numerics(list(tree.walk()))
    write_arrays(tree, list(tree.walk()))
    write_results(tree)
    write_values(list(tree.walk()))
    return tree, True


def _separate_names(nodes: Sequence[exp.Expr]) -> None:
    """Name the items that are subqueries as others are, so that something may be around the query."""
    for node in nodes:
        is_item = isinstance(node, exp.Subquery) and isinstance(node.parent, exp.Select)
        if is_item and node.arg_key == "expressions" and node.alias and kind(node) == NUMERIC:
            name = node.args.pop("alias")
            label = name.this if isinstance(name, exp.TableAlias) else name
            item = exp.Alias(this=node.copy(), alias=label)
            item.type = item.this.type = node.type
            node.replace(item)
