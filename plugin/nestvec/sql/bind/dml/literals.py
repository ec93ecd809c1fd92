"""Values to write: constants, parameters, arrays, JSON and vectors, as their columns take them."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum
from typing import Any, Final, TypeGuard

import numpy as np
import orjson
from sqlglot import exp

from nestvec.ingest.convert import convert_row, convert_value
from nestvec.ingest.row_schema import NO_NULL_VECTORS, RowSchema
from nestvec.milvus.catalog import DYNAMIC_COLUMN, ROW_ID, Column, TypeParams
from nestvec.sql.bind.ddl.column_types import ColumnType, bind_type, type_name, type_sql
from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.bind.scope import FLOATS, INTEGERS, STRINGS, Scope
from nestvec.sql.bind.sql_constants import number_text, sql_constant
from nestvec.sql.parse.source import identifier_name, without_parens
from nestvec.sqltypes.arrays import parse_array
from nestvec.sqltypes.documents import parse_document
from nestvec.sqltypes.texts import any_text
from nestvec.sqltypes.vectors import vector_text
from nestvec_schemas.errors import RowRejected, SqlError, SqlNullViolation, nearest
from nestvec_schemas.spec.validation import INTEGER_RANGES

_FROM_TEXT: Final = ("JSON", "ARRAY", "FLOAT_VECTOR")
"""Types whose constants are strings in SQL."""


_INTEGER = re.compile(r"[+-]?\d{1,30}", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_BOOLEAN_WORDS: Final = {
    True: ("t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"),
    False: ("f", "fa", "fal", "fals", "false", "n", "no", "off", "of", "0"),
}
_NUMERIC_DIGITS: Final = 131_072
"""Before the point of a NUMERIC, at most."""
CLOCKS: Final = (exp.CurrentTimestamp, exp.CurrentDate, exp.Localtimestamp)
"""now() and its like."""
_TEXT_VALUES: Final = (date, time, uuid.UUID, Decimal)
"""Python values that a text column stores as PostgreSQL writes them."""


class ValueKeyword(Enum):
    """A keyword in place of a value."""

    DEFAULT = "DEFAULT"


def writable_column(scope: Scope, node: exp.Expr) -> Column | None:
    """The column that a name in INSERT or SET refers to; None for a dynamic field. Raises SqlError."""
    table, lower = scope.table, identifier_name(node)
    column = table.column(lower) or table.column(str(node.this))
    if column is ROW_ID:
        raise scope.source.not_supported(f"writing {ROW_ID.name}", node, "Milvus generates it: omit it.")
    if column is None and table.dynamic:
        if str(node.this) == DYNAMIC_COLUMN.name:
            raise scope.source.not_supported(
                f"writing {DYNAMIC_COLUMN.name}",
                node,
                "Write its fields by name, as columns.",
            )
        return None
    if column is None:
        names = [candidate.name for candidate in table.columns]
        raise scope.source.unknown_name(
            f"{table.name} has no such column",
            lower,
            node,
            f"Available: {', '.join(names)}.{nearest(lower, names)}",
        )
    if column.name in table.generated:
        sources = table.generated[column.name]
        raise scope.source.type_mismatch(
            "a generated column cannot be written",
            column.name,
            node,
            f"It is computed from {sources}: write that instead.",
        )
    return column


def bind_value(scope: Scope, node: exp.Expr, column: Column | None) -> object:
    """A value for a column or a dynamic field, as a Python value or ValueKeyword.DEFAULT.

    Raises SqlError; ``fit_row`` checks the value against the column.
    """
    node = without_parens(node)
    if is_default(node):
        return ValueKeyword.DEFAULT
    if column is not None and column.type_params.sql_type:
        return sql_constant(scope, node)
    if isinstance(node, exp.Cast):
        return _cast(scope, node, column)
    if isinstance(node, exp.Array):
        texts = column is not None and column.type_params.element_type in STRINGS
        return [_element(scope, element, texts=texts) for element in node.expressions]
    value = _constant(scope, node)
    if column is None:
        return value
    if isinstance(value, str):
        if column.type in _FROM_TEXT:
            return _parsed(scope, value, column, node)
        if column.type in INTEGERS or column.type in FLOATS or column.type == "BOOL":
            return _number_or_bool(scope, value, column, node)
    elif column.type in INTEGERS and isinstance(value, float) and math.isfinite(value):
        # PostgreSQL rounds a NUMERIC half away from zero, and a double precision half to even.
        number = Decimal(number_text(node) or repr(value)) if abs(value) < 1e20 else None
        if number is None:
            return value
        return round(value) if _is_parameter(node) else int(number.to_integral_value(ROUND_HALF_UP))
    elif column.type in STRINGS and isinstance(value, _TEXT_VALUES):
        return value.isoformat(" ") if isinstance(value, datetime) else str(value)
    elif column.type in STRINGS and isinstance(value, (bool, int, float)):
        return _number_text(node, value)
    return vector_text(value) if column.type == "FLOAT_VECTOR" else value


def _number_or_bool(scope: Scope, text: str, column: Column, node: exp.Expr) -> object:
    """The value that a text in quotes stands for in a column of numbers or booleans, as in PostgreSQL."""
    if column.type == "BOOL":
        word = text.strip().lower()
        truths = {truth: word in names for truth, names in _BOOLEAN_WORDS.items()}
        if not any(truths.values()):
            raise scope.source.data_error(
                f"column {column.name} is neither true nor false", text[:60], node, "Write true or false."
            )
        return truths[True]
    stripped = text.strip()
    if column.type in INTEGERS and _INTEGER.fullmatch(stripped):
        return int(stripped)
    if column.type in FLOATS and _FLOAT.fullmatch(stripped):
        return float(stripped)
    what = "whole" if column.type in INTEGERS else "finite"
    raise scope.source.data_error(
        f"column {column.name} is not a {what} number", text[:60], node, f"Write a {what} number."
    )


def _element(scope: Scope, node: exp.Expr, *, texts: bool) -> object:
    value = _constant(scope, node)
    return _number_text(node, value) if texts and isinstance(value, (bool, int, float)) else value


def _number_text(node: exp.Expr, value: bool | float) -> str:
    """A number or a boolean as PostgreSQL assigns it to a column of texts."""
    if isinstance(value, bool):
        return str(value).lower()
    digits = number_text(node)
    if digits is not None and Decimal(digits).adjusted() < _NUMERIC_DIGITS:
        return f"{Decimal(digits) or abs(Decimal(digits)):f}"
    return any_text(value).decode()


def check_no_star(scope: Scope, value: exp.Expr) -> None:
    """Raise SqlNotSupported for ``*`` in a value of SET, but for those of count() and of subqueries."""
    for star in value.find_all(exp.Star):
        if not isinstance(star.parent, exp.Count) and star.find_ancestor(exp.Query) is None:
            raise scope.source.not_supported("* in SET", value, "Name the columns.")


def is_computed(node: exp.Expr) -> bool:
    """Whether a value is computed, from columns or by operators and functions."""
    while isinstance(node, (exp.Paren, exp.Neg, exp.Cast)):
        node = node.this
    if isinstance(node, exp.Array):
        return any(map(is_computed, node.expressions))
    literals = (exp.Literal, exp.Boolean, exp.Null, exp.Placeholder, exp.Parameter)
    return not isinstance(node, (*literals, exp.BitString, *CLOCKS))


def is_default(node: exp.Expr) -> bool:
    """Whether a value is the keyword DEFAULT, which sqlglot parses as a variable or a column."""
    if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier):
        return not node.this.args.get("quoted") and node.name.upper() == ValueKeyword.DEFAULT.value
    return isinstance(node, exp.Var) and node.name.upper() == ValueKeyword.DEFAULT.value


def fit_row(
    scope: Scope,
    shape: RowSchema,
    row: Mapping[str, object],
    nodes: Mapping[str, exp.Expr],
    row_node: exp.Expr,
) -> dict[str, object]:
    """A row as Milvus takes it, without its NULLs. Raises SqlTypeMismatch at the first invalid value, and
    SqlNullViolation for a column that is missing.

    ``nodes`` are those of the values; ``row_node`` is that of the row.
    """
    for name, value in row.items():
        column = shape.columns.get(name)
        if value is None and column is not None:
            _check_null(scope, column, nodes.get(name, row_node))
    try:
        return convert_row(row, shape)
    except RowRejected as error:
        for name, node in nodes.items():
            # The error does not say which value is invalid: convert them one by one to find it.
            column = shape.columns.get(name)
            if column is not None and row.get(name) is not None:
                fit_value(scope, shape, row[name], column, node)
        _check_missing(scope, shape, row, row_node)
        raise _rejected(scope, error, row_node) from error


def fit_value(scope: Scope, shape: RowSchema, value: object, column: Column, node: exp.Expr) -> object:
    """One value as Milvus takes it; None is NULL. Raises SqlTypeMismatch."""
    if value is ValueKeyword.DEFAULT:
        if column.default is None and not column.nullable:
            raise scope.source.type_mismatch("the column has no default", column.name, node, "Write a value.")
        return column.default
    if value is None:
        _check_null(scope, column, node)
        return None
    try:
        if column.name in shape.sources and value == "":
            cause = f"column {column.name} is empty, so there is nothing to embed"
            raise RowRejected(cause, next_step="Write some text.")
        return convert_value(value, column, shape)
    except RowRejected as error:
        raise _rejected(scope, error, node) from error


def _check_null(scope: Scope, column: Column, node: exp.Expr) -> None:
    if column.has_default and column.nullable:
        raise scope.source.not_supported(
            f"NULL in column {column.name}",
            node,
            "Milvus stores the column's default instead: write a value, or DEFAULT.",
        )
    if not column.nullable:
        raise SqlNullViolation(
            f"column {column.name} cannot be NULL",
            value="NULL",
            next_step=_null_step(scope, column),
            statement=scope.source.text,
            position=scope.source.position(node),
        )


def _check_missing(scope: Scope, shape: RowSchema, row: Mapping[str, object], node: exp.Expr) -> None:
    """Raise SqlNullViolation for the first column that a row must have and lacks."""
    for column in shape.expected:
        optional = column.nullable or column.has_default or column.name in shape.defaults
        if column.name not in row and not optional and column.name not in shape.table.composed:
            raise SqlNullViolation(
                f"column {column.name} is missing",
                next_step=_null_step(scope, column),
                statement=scope.source.text,
                position=scope.source.position(node),
            )


def _null_step(scope: Scope, column: Column) -> str:
    """What to do about a NULL that a column does not take."""
    if not column.is_vector:
        return "Write a value."
    has_default = column.name in scope.table.default_expressions
    return f"Write a vector, or {'' if has_default else 'give the column a '}DEFAULT. {NO_NULL_VECTORS}"


def _rejected(scope: Scope, error: RowRejected, node: exp.Expr) -> SqlError:
    if error.value is None:
        return scope.source.syntax_error(error.cause, node, error.next_step)
    return scope.source.data_error(error.cause, error.value, node, error.next_step)


def _cast(scope: Scope, node: exp.Cast, column: Column | None) -> object:
    to = node.args["to"]
    place = scope.source.position(node.this) or 0
    vector = isinstance(to, exp.DataType) and to.this == exp.DType.VECTOR and not to.expressions
    bound = ColumnType("FLOAT_VECTOR") if vector else bind_type(scope.source, to, place)
    if column is not None and bound.sql is not None and column.type in STRINGS:
        value = sql_constant(scope, node)
        return None if value is None else any_text(value).decode()
    if column is None or bound.sql is not None or not _assignable(bound, column):
        step = "Remove it." if column is None else f"Column {column.name} is {type_sql(column)}."
        raise scope.source.not_supported("this cast", node, step)
    if bound.name in _FROM_TEXT or bound.name == "BOOL":
        value = bind_value(scope, node.this, column)
        # An array of VARCHAR(n) is cut element by element.
        return [_as_type(scope, item, bound, node) for item in value] if _are_texts(value, bound) else value
    between = replace(column, type=bound.name, type_params=TypeParams(bound.length))
    value = _as_type(scope, bind_value(scope, node.this, between), bound, node)
    # PostgreSQL rounds a double precision half to even.
    is_rounded = column.type in INTEGERS and isinstance(value, float) and math.isfinite(value)
    return round(value) if is_rounded and isinstance(value, float) else value


def _are_texts(value: object, bound: ColumnType) -> TypeGuard[list[object]]:
    return bound.name == "ARRAY" and bound.element in STRINGS and isinstance(value, list)


def _as_type(scope: Scope, value: object, bound: ColumnType, node: exp.Expr) -> object:
    """A value in the range, precision and length of the type that it is cast to."""
    if isinstance(value, str):
        return value[: bound.length]
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return value
    if bound.name not in INTEGERS:
        return _single(float(value)) if bound.name == "FLOAT" else float(value)
    low, high = INTEGER_RANGES[bound.name]
    if not low <= value <= high:
        raise scope.source.data_error(
            f"{type_name(bound)} out of range", value, node, f"Write a number from {low} to {high}."
        )
    return value


def _single(value: float) -> float:
    """The nearest 32-bit float; infinity beyond their range."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def _assignable(bound: ColumnType, column: Column) -> bool:
    """Whether PostgreSQL assigns a constant of one type to a column of another without a cast."""
    numbers = INTEGERS | FLOATS
    if bound.name == "ARRAY":
        return bound.element == column.type_params.element_type
    if bound.dim is not None and bound.dim != column.dim:
        return False
    return bound.name == column.type or (bound.name in numbers and column.type in numbers)


def _constant(scope: Scope, node: exp.Expr) -> object:
    """A constant, or any value of a parameter."""
    if not isinstance(node, PARAMETER_NODES):
        return scope.constant(node)
    value = scope.params.value(scope.source, node)
    return list(value) if isinstance(value, tuple) else value


def _is_parameter(node: exp.Expr) -> bool:
    return isinstance(node, PARAMETER_NODES)


def _parsed(scope: Scope, text: str, column: Column, node: exp.Expr) -> Any:
    if column.type == "ARRAY" and text.lstrip().startswith("{"):
        elements = parse_array(text)
        if elements is not None:
            element = replace(column, type=column.type_params.element_type or "VARCHAR")
            numbers = element.type not in STRINGS
            return [_number_or_bool(scope, item, element, node) for item in elements] if numbers else elements
    try:
        return parse_document(text) if column.type == "JSON" else orjson.loads(text)
    except RowRejected as error:
        raise _rejected(scope, error.reworded(cause=f"column {column.name}: {error.cause}"), node) from error
    except orjson.JSONDecodeError as error:
        example = {"JSON": "'{\"a\": 1}'", "ARRAY": "ARRAY['a', 'b']"}.get(column.type, "'[0.1, 0.2]'")
        raise scope.source.type_mismatch(
            f"column {column.name} is {type_sql(column)}", text[:60], node, f"Write it as {example}."
        ) from error
