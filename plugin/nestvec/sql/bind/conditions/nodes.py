"""Conditions on rows, as data, without a NOT above AND and OR.

A comparison with NULL may therefore count as false everywhere, as it does in every engine, and the result is
SQL's, whatever an engine makes of NOT over NULL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.scope import Value
from nestvec_schemas.errors import SqlNotSupported

Operator = Literal["=", "!=", "<", "<=", ">", ">="]

NEGATED: Final[dict[Operator, Operator]] = {
    "=": "!=", "!=": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<",
}  # fmt: skip


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
    """``part`` is false; its columns are known not to be NULL."""

    part: Compare | CompareColumns | InList | Contains | Match


@dataclass(frozen=True)
class And:
    """All parts are true."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Or:
    """At least one part is true."""

    parts: tuple[Condition, ...]


Condition = Compare | CompareColumns | InList | Like | IsNull | Contains | Match | Not | And | Or

ALWAYS: Final = And(())
"""True for every row."""
NEVER: Final = Or(())
"""False for every row."""


def conjunction(parts: Iterable[Condition]) -> Condition:
    """All of the parts, without those that are always true."""
    needed = without_repeats(part for part in parts if part != ALWAYS)
    if NEVER in needed:
        return NEVER
    return needed[0] if len(needed) == 1 else And(needed)


def without_repeats(parts: Iterable[Condition]) -> tuple[Condition, ...]:
    """The parts without those that repeat that a column is not NULL."""
    null_tests: set[Condition] = set()
    distinct: list[Condition] = []
    for part in parts:
        if isinstance(part, IsNull):
            if part in null_tests:
                continue
            null_tests.add(part)
        distinct.append(part)
    return tuple(distinct)


def disjunction(parts: Iterable[Condition]) -> Condition:
    """Any of the parts, without those that are never true."""
    possible = tuple(part for part in parts if part != NEVER)
    if ALWAYS in possible:
        return ALWAYS
    return possible[0] if len(possible) == 1 else Or(possible)


def not_null(column: Column) -> Condition:
    """``column IS NOT NULL``; ALWAYS for a column that cannot be NULL, or of which Milvus cannot say it."""
    if column.is_vector:
        return vector_is_null(column, negated=True) if column.type_params.null_flag else ALWAYS
    return IsNull(column, negated=True) if column.nullable else ALWAYS


def vector_is_null(column: Column, *, negated: bool) -> Condition:
    """``column IS [NOT] NULL`` for a vector, by the field that is NULL where the vector is not."""
    return IsNull(Column(column.type_params.null_flag, "BOOL", nullable=True), negated=not negated)


def negate(part: Compare | InList | Contains | Match) -> Condition:
    """``part`` is false, and not NULL."""
    return conjunction((not_null(part.column), Not(part)))


@dataclass(frozen=True)
class Narrowed:
    """A condition of SQL as far as Milvus can say it."""

    condition: Condition
    """Implied by the condition of SQL: no row that passes that one fails this one."""

    rest: exp.Expr | None = None
    """The first part of the SQL that ``condition`` does not say exactly; None if it says all."""

    error: SqlNotSupported | None = None
    """Why ``rest`` is not in ``condition``, where it is more than its kind."""

    def at(self, node: exp.Expr) -> Narrowed:
        """The same, with ``node`` as the part that ``condition`` does not say exactly."""
        return self if self.rest is None else Narrowed(self.condition, node, self.error)


def all_of(parts: Sequence[Narrowed]) -> Narrowed:
    """The conjunction: it says all if every part does, or if it is never true."""
    condition = conjunction(part.condition for part in parts)
    return Narrowed(condition) if condition == NEVER else _with_rest(condition, parts)


def any_of(parts: Sequence[Narrowed]) -> Narrowed:
    """The disjunction: it narrows only if every part does."""
    if any(part.rest is None and part.condition == ALWAYS for part in parts):
        return Narrowed(ALWAYS)
    return _with_rest(disjunction(part.condition for part in parts), parts)


def _with_rest(condition: Condition, parts: Sequence[Narrowed]) -> Narrowed:
    first = next((part for part in parts if part.rest is not None), Narrowed(condition))
    return Narrowed(condition, first.rest, first.error)
