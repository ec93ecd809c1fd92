"""Names and constants in a statement: which column a name means, and which value a constant is."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from nestvec.milvus.catalog import DYNAMIC_COLUMN, Column, Table
from nestvec.sql.bind.params import PARAMETER_NODES, Params, to_python
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import SourceText, identifier_name, stray_parts
from nestvec_schemas.errors import nearest

Value = bool | int | float | str

INTEGERS = frozenset({"INT8", "INT16", "INT32", "INT64"})
FLOATS = frozenset({"FLOAT", "DOUBLE"})
STRINGS = frozenset({"VARCHAR", "STRING", "TEXT"})

_MAX_INT64 = (1 << 63) - 1
"""The range is kept symmetric: Milvus reads -2^63 as the negative of a number that is out of range."""

_EXPECTED_VALUES = (
    (INTEGERS, "a whole number of 64 bits"),
    (FLOATS, "a number"),
    (STRINGS, "a text in single quotes"),
    (frozenset({"BOOL"}), "TRUE or FALSE"),
)


@dataclass(frozen=True)
class Context:
    """What a statement meets beside its table: the ``tables`` of its subqueries, by their names there,
    and the ``service`` that embeds texts for columns that none fills."""

    tables: Mapping[str, Table] = field(default_factory=dict)
    service: str = ""


@dataclass(frozen=True)
class Scope:
    """One table, the name that the statement calls it by, and the parameters' values."""

    source: SourceText
    table: Table
    name: str
    params: Params
    context: Context = Context()

    def column(self, node: exp.Column) -> Column:
        """The column that a node names. Raises SqlUnknownName with the nearest name."""
        if stray_parts(node, ("this", "table")) or not isinstance(node.this, exp.Identifier):
            raise self.source.not_supported("a name of more than two parts", node, "Write TABLE.COLUMN.")
        self.check_qualifier(node)
        exact, lower = str(node.this.this), identifier_name(node.this)
        column = self.table.column(lower) or self.table.column(exact)
        if column is None and self.table.dynamic and exact == DYNAMIC_COLUMN.name:
            column = DYNAMIC_COLUMN
        if column is not None:
            return column
        if not self.table.columns:
            raise self.source.unknown_name(
                "without FROM there are no columns",
                lower,
                node,
                "Add FROM collection; a text is in quotes: 'a'.",
            )
        names = [column.name for column in self.table.columns]
        hint = nearest(lower, names)
        if node.this.args.get("quoted"):
            hint += " A text is written in single quotes; double quotes are for names."
        if self.table.dynamic:
            hint += f""" A dynamic field is read as "{DYNAMIC_COLUMN.name}"->>'{exact}'."""
        raise self.source.unknown_name(
            f"{self.table.name} has no column of this name", lower, node, f"There: {', '.join(names)}.{hint}"
        )

    def check_qualifier(self, node: exp.Column) -> None:
        """Raise SqlUnknownName where ``node`` is of another table than the one in FROM."""
        qualifier = node.args.get("table")
        if qualifier is not None and self.name not in (identifier_name(qualifier), str(qualifier.this)):
            raise self.source.unknown_name(
                "FROM has no table of this name", identifier_name(qualifier), qualifier, f"Write {self.name}."
            )

    def value(self, node: exp.Expr, column: Column) -> Value:
        """A constant as a value of the column's type. Raises SqlTypeMismatch, SqlNotSupported."""
        return self._fitted(self.constant(node), column, node)

    def list_value(self, value: object, column: Column, node: exp.Expr) -> Value:
        """The same of a value inside the parameter ``node``, a list."""
        return self._fitted(_parameter_value(to_python(value), self.source, node), column, node)

    def _fitted(self, value: Value | None, column: Column, node: exp.Expr) -> Value:
        if value is None:
            raise self.source.type_mismatch(
                "a comparison with NULL is never true", "NULL", node, f"Write {column.name} IS NULL."
            )
        expected = next((name for types, name in _EXPECTED_VALUES if column.type in types), None)
        if expected is None:
            raise self.source.not_supported(
                f"a comparison with a {column.type} column", node, "Compare numbers, texts and booleans."
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
        """What a constant stands for; None is NULL. Raises SqlNotSupported for anything but a constant."""
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
    """A parameter's value, where it is one that a column may hold."""
    if isinstance(value, str) and re.search("[\0\ud800-\udfff]", value):
        raise source.type_mismatch(
            "this parameter's value holds a character that is not text", ascii(value)[:40], node, "Remove it."
        )
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise source.type_mismatch(
        "this parameter's value fits no column",
        f"{type(value).__name__} {str(value)[:40]}",
        node,
        "Give a text, a finite number, a boolean or None.",
    )


def _number(text: str, sign: int, source: SourceText, node: exp.Expr) -> int | float:
    # Longer digits than this fit no column, and int() of a very long text is refused by Python.
    if re.fullmatch("[0-9]{1,400}", text):
        return sign * int(text)
    try:
        number = sign * float(text)
    except ValueError:
        number = math.inf
    if not math.isfinite(number):
        raise source.type_mismatch("this number is out of range", text, node, "Write a smaller one.")
    return number


def _convert(value: Value, column_type: str) -> Value | None:
    """``value`` as a column of this type holds it, or None where it does not fit."""
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
