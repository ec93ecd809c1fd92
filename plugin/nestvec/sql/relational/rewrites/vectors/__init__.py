"""What vectors mean in a typed tree, in DuckDB's words: lists of numbers, and texts of sparse vectors."""

from __future__ import annotations

from sqlglot import exp

from nestvec.sql.parse.source import SourceText
from nestvec.sql.parse.vectors.kinds import type_kind, vector_kind
from nestvec.sql.relational.rewrites.nodes import anonymous_name
from nestvec.sql.relational.rewrites.vectors.aggregates import rewrite_aggregate
from nestvec.sql.relational.rewrites.vectors.casts import rewrite_cast
from nestvec.sql.relational.rewrites.vectors.checks import check_vector
from nestvec.sql.relational.rewrites.vectors.operators import CALLS, RULES


def write_vectors(source: SourceText, tree: exp.Expr) -> exp.Expr:
    """Compute vectors as pgvector does. The tree is changed, and returned.

    Raises SqlTypeMismatch for what pgvector does not have, SqlDataError for constants that are no vectors.
    """
    nodes = list(tree.walk())
    if not any(map(_has_vectors, nodes)):
        return tree
    for node in reversed(nodes):
        rewritten = _rewritten(source, node)
        if rewritten is node:
            continue
        if node is tree:
            tree = rewritten
        node.replace(rewritten)
    return tree


def _has_vectors(node: exp.Expr) -> bool:
    if isinstance(node, exp.DataType):
        return bool(type_kind(node))
    return bool(vector_kind(node)) or anonymous_name(node) in CALLS


def _rewritten(source: SourceText, node: exp.Expr) -> exp.Expr:
    check_vector(source, node)
    if isinstance(node, exp.Cast):
        return rewrite_cast(source, node)
    if isinstance(node, (exp.Avg, exp.Sum)):
        return rewrite_aggregate(source, node) if vector_kind(node) else node
    name = anonymous_name(node)
    if name in CALLS:
        return CALLS[name](source, node)
    rule = RULES.get(type(node))
    if rule is None or not any(map(vector_kind, _operands(node))):
        return node
    return rule(source, node)


def _operands(node: exp.Expr) -> list[exp.Expr]:
    """The values that an operator or a function is given, also those of branches, arrays and queries."""
    operands = list(node.iter_expressions())
    for operand in list(operands):
        inner = operand.unnest()
        if isinstance(inner, (exp.If, exp.Any, exp.All)):
            operands += inner.iter_expressions()
        elif isinstance(inner, exp.Query) and isinstance(node, exp.SetOperation):
            operands += [item.unalias() for item in inner.selects]
    return operands
