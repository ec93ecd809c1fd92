"""Bound expressions, as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from nestvec.sql.bind.scope import Value


@dataclass(frozen=True)
class SourceLocation:
    """A position in a statement, for errors that only occur with the values of a row."""

    statement: str
    position: int | None


@dataclass(frozen=True)
class ColumnRef:
    """A column of the table, or of the rows of the plan node below."""

    name: str
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Constant:
    """A value; None is NULL."""

    value: Value | None


@dataclass(frozen=True)
class Distance:
    """The value that ranks the rows, as its operator defines it."""


@dataclass(frozen=True)
class FunctionCall:
    """A call of a function or operator of ``nestvec.sql.execute.evaluate``, by its name there."""

    name: str
    arguments: tuple[Expression, ...]
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class AggregateCall:
    """An aggregate of ``nestvec.sql.execute.row_operators`` by its name; ``count(*)`` has no argument."""

    name: str
    argument: Expression | None = None
    distinct: bool = False
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


Expression = ColumnRef | Constant | Distance | FunctionCall | AggregateCall

_WORDS = {"and", "or", "not", "like", "ilike"}


def arguments_of(expression: Expression) -> tuple[Expression, ...]:
    """The operands of an expression, from the left."""
    if isinstance(expression, FunctionCall):
        return expression.arguments
    if isinstance(expression, AggregateCall) and expression.argument is not None:
        return (expression.argument,)
    return ()


def walk(expression: Expression) -> Iterator[Expression]:
    """An expression and all its parts, from the left."""
    yield expression
    for operand in arguments_of(expression):
        yield from walk(operand)


def columns_read(expression: Expression) -> Iterator[str]:
    """The columns that an expression reads, from the left."""
    return (part.name for part in walk(expression) if isinstance(part, ColumnRef))


def expression_sql(expression: Expression) -> str:
    """An expression in SQL notation; different expressions have different texts."""
    if isinstance(expression, ColumnRef):
        return expression.name
    if isinstance(expression, Constant):
        return "NULL" if expression.value is None else repr(expression.value)
    if isinstance(expression, Distance):
        return "distance"
    arguments = [expression_sql(operand) for operand in arguments_of(expression)]
    if isinstance(expression, AggregateCall):
        return f"{expression.name}({'distinct ' if expression.distinct else ''}{', '.join(arguments) or '*'})"
    infix = not expression.name[0].isalpha() or expression.name in _WORDS
    if infix and len(arguments) > 1:
        return f"({f' {expression.name} '.join(arguments)})"
    return f"{expression.name}({', '.join(arguments)})"
