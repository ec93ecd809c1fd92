"""Constants of any SQL type: ``DATE '2024-01-31'``, ``'1.5'::numeric``, ``B'101'``, parameters, arrays."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from sqlglot import exp

from nestvec.milvus.catalog import Column, TypeParams
from nestvec.sql.bind.ddl.column_types import bind_type
from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.source import without_parens
from nestvec.sqltypes import from_stored, to_stored
from nestvec_schemas.errors import RowRejected

_NOW: Final = (exp.CurrentTimestamp, exp.Localtimestamp)


def sql_constant(scope: Scope, node: exp.Expr) -> Any:
    """The value of a constant of any type, in Python's types; None is NULL.

    A number with a fraction is its text, so that no digit is lost. Raises SqlNotSupported for anything else.
    """
    node = without_parens(node)
    if isinstance(node, PARAMETER_NODES):
        value = scope.params.value(scope.source, node)
        return list(value) if isinstance(value, tuple) else value
    if isinstance(node, exp.Array):
        return [sql_constant(scope, element) for element in node.expressions]
    if isinstance(node, (exp.Cast, exp.TryCast)):
        return _cast(scope, node)
    if isinstance(node, exp.BitString):
        return str(node.this)
    if isinstance(node, _NOW):
        return scope.params.now
    if isinstance(node, exp.CurrentDate):
        return date.today()
    number = number_text(node)
    return number if number is not None else scope.constant(node)


def stored_constant(scope: Scope, node: exp.Expr, column: Column) -> Any:
    """A constant that a column with a SQL type is compared with, as the column stores it.

    Raises SqlNotSupported for what the column does not store without rounding, SqlDataError, SqlTypeMismatch.
    """
    return stored_value(scope, sql_constant(scope, node), column, node)


def stored_value(scope: Scope, value: object, column: Column, node: exp.Expr) -> Any:
    """The same for a value in Python's types."""
    if value is None:
        raise scope.source.type_mismatch(
            "a comparison with NULL is never true", "NULL", node, f"Write {column.name} IS NULL."
        )
    try:
        return to_stored(column, value, exact=True)
    except RowRejected as inexact:
        try:
            to_stored(column, value)
        except RowRejected as error:
            raise scope.source.data_error(error.cause, error.value, node, error.next_step) from error
        raise scope.source.not_supported(
            f"a comparison of column {column.name} with what it would round", node, inexact.next_step
        ) from inexact


def number_text(node: exp.Expr) -> str | None:
    """The digits of a number with a fraction, with its sign."""
    sign = ""
    while isinstance(node, (exp.Neg, exp.Paren)):
        sign = ("-" if not sign else "") if isinstance(node, exp.Neg) else sign
        node = node.this
    if not isinstance(node, exp.Literal) or node.is_string or str(node.this).isdecimal():
        return None
    return sign + str(node.this)


def _cast(scope: Scope, node: exp.Expr) -> Any:
    """A constant cast to a type: checked, and in the Python type of it."""
    value, to = sql_constant(scope, node.this), node.args["to"]
    untyped = isinstance(to, exp.DataType) and not to.expressions
    if value is None or (untyped and (to.this == exp.DType.VECTOR or _named(to) in ("HALFVEC", "SPARSEVEC"))):
        return value
    position = scope.source.position(node.this) or 0
    bound = bind_type(scope.source, to, position)
    if bound.sql is None:
        return value
    column = Column(
        "cast", bound.name, TypeParams(bound.length, bound.dim, bound.element, sql_type=str(bound.sql))
    )
    try:
        return from_stored(column, to_stored(column, value))
    except RowRejected as error:
        raise scope.source.data_error(error.cause, error.value, node, error.next_step) from error


def _named(node: exp.DataType) -> str:
    kind = node.args.get("kind")
    return str(kind.this if isinstance(kind, exp.Identifier) else kind or "").upper()
