"""pgvector's spellings of distances: its functions, and ``subvector`` of a family's longest vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.vectors.family import families
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.source import identifier_name, without_parens
from nestvec.sql.relational.names import function_label

_OPERATORS: Final = {
    "L2_DISTANCE": "<->",
    "COSINE_DISTANCE": "<=>",
    "INNER_PRODUCT": "<#>",
    "NEGATIVE_INNER_PRODUCT": "<#>",
    "L1_DISTANCE": "<+>",
    "HAMMING_DISTANCE": "<~>",
    "JACCARD_DISTANCE": "<%>",
}


def is_distance_function(node: exp.Expr) -> bool:
    """Whether a node calls one of pgvector's distance functions."""
    return isinstance(node, exp.Func) and function_label(node) in _OPERATORS


def use_operators(tree: exp.Expr) -> exp.Expr:
    """Write calls of pgvector's distance functions as operators. Returns the tree."""
    for node in [node for node in tree.find_all(exp.Func) if is_distance_function(node)]:
        operands = [*node.expressions] or [node.this, node.args.get("expression")]
        if len(operands) != 2 or None in operands:
            continue
        distance: exp.Expr = VectorDistance(
            this=operands[0].copy(), expression=operands[1].copy(), operator=_OPERATORS[function_label(node)]
        )
        distance.meta["start"] = node.meta.get("start") or next(
            (child.meta["start"] for child in node.walk() if child.meta.get("start") is not None), 0
        )
        replaced: exp.Expr = distance
        if function_label(node) == "INNER_PRODUCT":
            replaced = exp.paren(exp.Neg(this=exp.paren(distance)))
        if isinstance(node.parent, exp.Binary):
            replaced = exp.paren(replaced)
        if node is tree:
            return replaced
        node.replace(replaced)
    return tree


def use_family_members(tree: exp.Expr, table_of: Callable[[exp.Column], Table | None]) -> None:
    """Replace ``subvector(v, 1, n)`` in distances by the family's column of n dims, where there is one."""
    for distance in tree.find_all(VectorDistance):
        for side in (distance.this, distance.args["expression"]):
            node = without_parens(side)
            member = _member(node, table_of)
            if member is not None:
                side.replace(member)


def _member(node: exp.Expr, table_of: Callable[[exp.Column], Table | None]) -> exp.Expr | None:
    if isinstance(node, exp.Cast):
        node = without_parens(node.this)
    if function_label(node) != "SUBVECTOR" or len(node.expressions) != 3:
        return None
    column, start, count = node.expressions
    numbers = [part.name for part in (start, count) if isinstance(part, exp.Literal) and not part.is_string]
    if not isinstance(column, exp.Column) or len(numbers) != 2 or numbers[0] != "1":
        return None
    table = table_of(column)
    if table is None or not isinstance(column.this, exp.Identifier):
        return None
    name = identifier_name(column.this)
    for family in families(table):
        dims = {member.dim: member.column for member in family.members}
        if name in (*dims.values(), family.source) and numbers[1].isdecimal() and int(numbers[1]) in dims:
            member = column.copy()
            member.this.set("this", dims[int(numbers[1])])
            member.this.set("quoted", True)
            return member
    return None
