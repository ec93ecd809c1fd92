"""What the answer's columns, its order and its groups are made of, as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from nestvec.sql.bind.scope import Value


@dataclass(frozen=True)
class SourceLocation:
    """Where in a statement something stands, for the errors that only a row brings up."""

    statement: str
    position: int | None


@dataclass(frozen=True)
class ColumnRef:
    """A column of the table, or of the rows that a plan's node below gives."""

    name: str
    location: SourceLocation | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Constant:
    """A value; None is NULL."""

    value: Value | None


@dataclass(frozen=True)
class Distance:
    """The number that the rows are ranked by, as its operator gives it."""


@dataclass(frozen=True)
class FunctionCall:
    """A function or operator of ``nestvec.sql.execute.evaluate``, by its name there."""

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
    """What an expression is made of, from the left."""
    if isinstance(expression, FunctionCall):
        return expression.arguments
    if isinstance(expression, AggregateCall) and expression.argument is not None:
        return (expression.argument,)
    return ()


def walk(expression: Expression) -> Iterator[Expression]:
    """An expression and all that it is made of, from the left."""
    yield expression
    for operand in arguments_of(expression):
        yield from walk(operand)


def columns_read(expression: Expression) -> Iterator[str]:
    """The columns that an expression reads, from the left."""
    return (part.name for part in walk(expression) if isinstance(part, ColumnRef))


def expression_sql(expression: Expression) -> str:
    """An expression as SQL would have it; different ones are written differently."""
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
