"""What PostgreSQL counts in an ``integer``, and DuckDB in a BIGINT."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import anonymous_name, kind

_NODES: Final = (exp.Length, exp.StrPosition, exp.ArraySize, exp.BitLength)
_NAMES: Final = frozenset(
    {"OCTET_LENGTH", "CARDINALITY", "ARRAY_LENGTH", "ARRAY_UPPER", "ARRAY_LOWER", "STRPOS"}
)
_OF_INTEGERS: Final = ("GCD", "LCM")
"""Of integers they are one; of a bigint they are that."""
_SMALL: Final = (exp.DType.TINYINT, exp.DType.SMALLINT, exp.DType.INT)


def is_integer_result(node: exp.Expr) -> bool:
    """Whether the result of a node, before its rules, is an ``integer`` that DuckDB widens."""
    if isinstance(node, exp.Sub):
        return bool(kind(node.this) == kind(node.expression) == exp.DType.DATE)
    if anonymous_name(node) in _OF_INTEGERS:
        return all(kind(argument) in _SMALL for argument in node.expressions)
    if isinstance(node, exp.Window):
        return isinstance(node.this, exp.Ntile)
    return isinstance(node, _NODES) or anonymous_name(node) in _NAMES


def as_integer(node: exp.Expr) -> exp.Expr:
    """The same as an ``integer``: DuckDB's cast of a number that does not fit is an error."""
    inner = exp.paren(node.copy()) if isinstance(node, exp.Binary) else node.copy()
    cast = exp.Cast(this=inner, to=exp.DataType(this=exp.DType.INT))
    cast.type = exp.DataType(this=exp.DType.INT)
    return cast
