"""What Milvus cannot say: its names are checked, and the columns that it needs are not NULL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import DYNAMIC_COLUMN, Column
from nestvec.sql.bind.conditions.lists import quantified
from nestvec.sql.bind.conditions.nodes import Narrowed, conjunction, not_null
from nestvec.sql.bind.conditions.operands import is_filterable
from nestvec.sql.bind.scope import Scope
from nestvec_schemas.errors import SqlNotSupported

_STRICT_CONDITIONS: Final = (
    exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between, exp.Like, exp.ILike, exp.Escape,
    exp.RegexpLike, exp.RegexpILike, exp.SimilarTo, exp.StartsWith, exp.ArrayContainsAll,
    exp.ArrayContainedBy, exp.ArrayOverlaps,
)  # fmt: skip
"""Conditions that are NULL if an operand is: true or false, their operands are not NULL."""
_STRICT: Final = (
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.DPipe, exp.Paren, exp.Cast, exp.Lower,
    exp.Upper, exp.Length, exp.Abs, exp.JSONExtract, exp.JSONExtractScalar,
    exp.JSONBExtract, exp.JSONBExtractScalar, exp.ArraySize,
)  # fmt: skip
"""Expressions that are NULL if an operand is."""
_QUERIES: Final = (exp.Query, exp.Subquery)


def remainder(scope: Scope, node: exp.Expr, error: SqlNotSupported) -> Narrowed:
    """A condition that remains to be checked. Raises SqlUnknownName; ``error`` if only Milvus knows it."""
    for child in node.walk(prune=lambda candidate: isinstance(candidate, _QUERIES)):
        if isinstance(child, exp.MatchAgainst) and not matches_path(scope, child):
            raise error
        if isinstance(child, exp.Column) and not isinstance(child.this, exp.Star):
            scope.column(child)
    columns = {column.name: column for column in _needed(scope, node)}
    return Narrowed(conjunction(not_null(column) for column in columns.values()), node, error)


def matches_path(scope: Scope, node: exp.MatchAgainst) -> bool:
    """Whether ``@@`` matches a document with a path of JSON, not a text with words."""
    document = node.expressions[0]
    return not isinstance(document, exp.Column) or scope.column(document).type == "JSON"


def check_remainder(scope: Scope, node: exp.Expr) -> None:
    """Raise SqlNotSupported for a remainder with a condition that only Milvus knows."""
    for child in node.walk():
        if isinstance(child, exp.MatchAgainst) and not matches_path(scope, child):
            raise scope.source.not_supported(
                "@@ together with a condition that Milvus cannot check", child, "Combine them by AND."
            )


def _needed(scope: Scope, node: exp.Expr) -> Iterator[Column]:
    """The columns without a value of which the condition is NULL."""
    if not isinstance(node, _STRICT_CONDITIONS):
        return
    pending = _strict_operands(node)
    if any(quantified(child) is not None for child in pending):
        # Of an empty list, ANY is false and ALL is true, whatever they compare.
        return
    while pending:
        child = pending.pop()
        if isinstance(child, exp.Column):
            column = scope.column(child)
            if is_filterable(column.name) and not column.is_vector and column.name != DYNAMIC_COLUMN.name:
                yield column
        elif isinstance(child, (*_STRICT, *_STRICT_CONDITIONS)) and not _joins_arrays(scope, child):
            pending.extend(_strict_operands(child))


def _joins_arrays(scope: Scope, node: exp.Expr) -> bool:
    """Whether ``||`` joins arrays, of which one that is NULL counts as empty."""
    if not isinstance(node, exp.DPipe):
        return False
    return any(
        isinstance(child, (exp.Array, exp.Bracket))
        or (isinstance(child, exp.Column) and scope.column(child).type == "ARRAY")
        or (isinstance(child, exp.Cast) and child.to.this == exp.DType.ARRAY)
        for child in node.walk()
    )


def _strict_operands(node: exp.Expr) -> list[exp.Expr]:
    """The operands without a value of which a condition is NULL: a NULL bound of BETWEEN leaves it false."""
    return [node.this] if isinstance(node, exp.Between) else list(node.iter_expressions())
