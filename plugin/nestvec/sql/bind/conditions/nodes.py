"""Conditions on rows, as data, without a NOT above AND and OR.

A comparison with NULL may therefore count as false everywhere, as it does in every engine, and the result is
SQL's, whatever an engine makes of NOT over NULL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.scope import Value

Operator = Literal["=", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True)
class Compare:
    """``column operator value``; the value is of the column's type."""

    column: Column
    operator: Operator
    value: Value


@dataclass(frozen=True)
class InList:
    """``column [NOT] IN (values)``."""

    column: Column
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True)
class Like:
    """``column [NOT] LIKE pattern``, where ``%`` is the pattern's only special character."""

    column: Column
    pattern: str
    negated: bool = False


@dataclass(frozen=True)
class IsNull:
    """``column IS [NOT] NULL``."""

    column: Column
    negated: bool = False


@dataclass(frozen=True)
class CompareColumns:
    """``left operator right``, two columns of like type."""

    left: Column
    operator: Operator
    right: Column


@dataclass(frozen=True)
class Contains:
    """The array ``column`` contains all of ``values``, or any of them."""

    column: Column
    values: tuple[Value, ...]
    every: bool


@dataclass(frozen=True)
class Match:
    """``column`` contains a word of ``text``, by the analyzer of the column."""

    column: Column
    text: str


@dataclass(frozen=True)
class Not:
    """``part`` is false; its column is known not to be NULL."""

    part: Compare | InList | Contains | Match


@dataclass(frozen=True)
class And:
    """All parts are true."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Or:
    """At least one part is true."""

    parts: tuple[Condition, ...]


Condition = Compare | CompareColumns | InList | Like | IsNull | Contains | Match | Not | And | Or


def never(column: Column) -> Condition:
    """A condition that is false for every row."""
    return And((IsNull(column), IsNull(column, negated=True)))


def always(column: Column) -> Condition:
    """A condition that is true for every row."""
    return Or((IsNull(column), IsNull(column, negated=True)))


def negate(part: Compare | InList | Contains | Match) -> Condition:
    """``part`` is false, and not NULL."""
    return And((IsNull(part.column, negated=True), Not(part)))
