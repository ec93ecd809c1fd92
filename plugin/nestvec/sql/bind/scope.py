"""Names and constants: which column a name refers to, and which value a constant has."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from nestvec.milvus.catalog import DYNAMIC_COLUMN, Column, Table
from nestvec.sql.bind.params import PARAMETER_NODES, Params, check_characters, to_python
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import SourceText, identifier_name, stray_parts
from nestvec_schemas.errors import nearest

Value = bool | int | float | str

INTEGERS = frozenset({"INT8", "INT16", "INT32", "INT64"})
FLOATS = frozenset({"FLOAT", "DOUBLE"})
STRINGS = frozenset({"VARCHAR", "STRING", "TEXT"})

_MAX_INT64 = (1 << 63) - 1
"""The range is symmetric: Milvus reads -2^63 as the negative of a number that is out of range."""

_EXPECTED_VALUES = (
    (INTEGERS, "a 64-bit integer"),
    (FLOATS, "a number"),
    (STRINGS, "text in single quotes"),
    (frozenset({"BOOL"}), "TRUE or FALSE"),
)


@dataclass(frozen=True)
class Context:
    """What a statement refers to in addition to its own table."""

    tables: Mapping[str, Table] = field(default_factory=dict)
    """The collections of its subqueries, by the names that they have there."""
    service: str = ""
    """The service that embeds texts for columns that no function fills."""


@dataclass(frozen=True)
class Scope:
    """What names and parameters of a statement refer to."""

    source: SourceText
    table: Table
    name: str
    """The name of the table in the statement: its own, or its alias."""
    params: Params
    context: Context = Context()

    def column(self, node: exp.Column) -> Column:
        """The column that a node names. Raises SqlUnknownName with the nearest name."""
        if stray_parts(node, ("this", "table")) or not isinstance(node.this, exp.Identifier):
            raise self.source.not_supported("a name with more than two parts", node, "Write TABLE.COLUMN.")
        self.check_qualifier(node)
        exact, lower = str(node.this.this), identifier_name(node.this)
        column = self.table.column(lower) or self.table.column(exact)
        if column is None and self.table.dynamic and exact == DYNAMIC_COLUMN.name:
            column = DYNAMIC_COLUMN
        if column is not None:
            return column
        if not self.table.columns:
            raise self.source.unknown_name(
                "there are no columns without FROM",
                lower,
                node,
                "Add FROM collection; text goes in single quotes: 'a'.",
            )
        names = [column.name for column in self.table.columns]
        hint = nearest(lower, names)
        if node.this.args.get("quoted"):
            hint += " Text goes in single quotes; double quotes are for names."
        if self.table.dynamic:
            hint += f""" Read a dynamic field as "{DYNAMIC_COLUMN.name}"->>'{exact}'."""
        raise self.source.unknown_name(
            f"{self.table.name} has no such column", lower, node, f"Available: {', '.join(names)}.{hint}"
        )

    def check_qualifier(self, node: exp.Column) -> None:
        """Raise SqlUnknownName if ``node`` names another table than the one in FROM."""
        qualifier = node.args.get("table")
        if qualifier is not None and self.name not in (identifier_name(qualifier), str(qualifier.this)):
            raise self.source.unknown_name(
                "FROM has no such table", identifier_name(qualifier), qualifier, f"Use {self.name}."
            )

    def value(self, node: exp.Expr, column: Column) -> Value:
        """A constant as a value of the column's type. Raises SqlTypeMismatch, SqlNotSupported."""
        if column.type_params.sql_type:
            from nestvec.sql.bind.sql_constants import stored_constant  # noqa: PLC0415

            stored: Value = stored_constant(self, node, column)
            return stored
        return self._converted(self.constant(node), column, node)

    def list_value(self, value: object, column: Column, node: exp.Expr) -> Value:
        """One value of a list, which is the value of the parameter ``node``, as ``value`` does."""
        if column.type_params.sql_type:
            from nestvec.sql.bind.sql_constants import stored_value  # noqa: PLC0415

            stored: Value = stored_value(self, to_python(value), column, node)
            return stored
        return self._converted(_parameter_value(to_python(value), self.source, node), column, node)

    def _converted(self, value: Value | None, column: Column, node: exp.Expr) -> Value:
        if value is None:
            raise self.source.type_mismatch(
                "a comparison with NULL is never true", "NULL", node, f"Write {column.name} IS NULL."
            )
        expected = next((name for types, name in _EXPECTED_VALUES if column.type in types), None)
        if expected is None:
            raise self.source.not_supported(
                f"a comparison with a {column.type} column", node, "Compare numbers, strings and booleans."
            )
        converted = _convert(value, column.type)
        if converted is None:
            raise self.source.type_mismatch(
                f"column {column.name} is {column.type}",
                _sql_constant(value),
                node,
                f"Compare it with {expected}.",
            )
        return converted

    def constant(self, node: exp.Expr) -> Value | None:
        """The value of a constant; None is NULL. Raises SqlNotSupported for anything but a constant."""
        sign = 1
        inner = node
        while isinstance(inner, (exp.Paren, exp.Neg)):
            sign = -sign if isinstance(inner, exp.Neg) else sign
            inner = inner.this
        signed = isinstance(node, exp.Neg) or sign < 0
        if isinstance(inner, PARAMETER_NODES) and not signed:
            return _parameter_value(self.params.value(self.source, inner), self.source, inner)
        if isinstance(inner, exp.Literal) and not inner.is_string:
            return _number(str(inner.this), sign, self.source, node)
        if isinstance(inner, exp.Literal) and not signed:
            return str(inner.this)
        if isinstance(inner, exp.Boolean) and not signed:
            return bool(inner.this)
        if isinstance(inner, exp.Null) and not signed:
            return None
        raise self.source.not_supported(construct_name(inner), inner, "Write a constant here.")


def _parameter_value(value: object, source: SourceText, node: exp.Expr) -> Value | None:
    """The value of a parameter. Raises SqlTypeMismatch if no column can hold it."""
    if isinstance(value, str):
        check_characters(source, value, node)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    kind = type(value).__name__
    raise source.type_mismatch(
        "no column can hold the parameter value",
        kind if type(value).__repr__ is object.__repr__ else f"{kind} {str(value)[:40]}",
        node,
        "Pass a string, a finite number, a boolean or None.",
    )


def _number(text: str, sign: int, source: SourceText, node: exp.Expr) -> int | float:
    # More digits fit no column, and Python refuses int() of a very long string.
    if re.fullmatch("[0-9]{1,400}", text):
        return sign * int(text)
    try:
        number = sign * float(text)
    except ValueError:
        number = math.inf
    if not math.isfinite(number):
        raise source.type_mismatch("the number is out of range", text, node, "Use a smaller number.")
    return number


def _convert(value: Value, column_type: str) -> Value | None:
    """``value`` as a column of this type holds it, or None if it does not fit."""
    if isinstance(value, bool):
        return value if column_type == "BOOL" else None
    if isinstance(value, str):
        return value if column_type in STRINGS else None
    if column_type in INTEGERS:
        integer = int(value) if value == int(value) else None
        return integer if integer is not None and abs(integer) <= _MAX_INT64 else None
    try:
        if column_type == "FLOAT":
            # Milvus compares in 32 bits, Milvus Lite in 64: the rounded number is the same for both.
            return float(struct.unpack("<f", struct.pack("<f", value))[0])
        return float(value) if column_type == "DOUBLE" else None
    except OverflowError:
        return None


def _sql_constant(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    return f"'{value}'" if isinstance(value, str) else str(value)
