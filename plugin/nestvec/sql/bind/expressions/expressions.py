"""What the answer's columns, its order and its groups are made of, as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from nestvec.sql.bind.scope import Value


@dataclass(frozen=True)
class Mark:
    """Where in a statement something stands, for the errors that only a row brings up."""

    statement: str
    position: int | None


@dataclass(frozen=True)
class Field:
    """A column of the table, or of the rows that a plan's node below gives."""

    name: str
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Constant:
    """A value; None is NULL."""

    value: Value | None


@dataclass(frozen=True)
class Distance:
    """The number that the rows are ranked by, as its operator gives it."""


@dataclass(frozen=True)
class Apply:
    """A function or operator of ``nestvec.sql.execute.evaluate``, by its name there."""

    name: str
    arguments: tuple[Expression, ...]
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Summary:
    """An aggregate of ``nestvec.sql.execute.summaries``, by its name there; ``count(*)`` has no argument."""

    name: str
    argument: Expression | None = None
    distinct: bool = False
    mark: Mark | None = field(default=None, compare=False, repr=False)


Expression = Field | Constant | Distance | Apply | Summary

_WORDS = {"and", "or", "not", "like", "ilike"}


def inputs(expression: Expression) -> tuple[Expression, ...]:
    """What an expression is made of, from the left."""
    if isinstance(expression, Apply):
        return expression.arguments
    if isinstance(expression, Summary) and expression.argument is not None:
        return (expression.argument,)
    return ()


def parts(expression: Expression) -> Iterator[Expression]:
    """An expression and all that it is made of, from the left."""
    yield expression
    for one in inputs(expression):
        yield from parts(one)


def fields(expression: Expression) -> Iterator[str]:
    """The columns that an expression reads, from the left."""
    return (one.name for one in parts(expression) if isinstance(one, Field))


def written(expression: Expression) -> str:
    """An expression as SQL would have it; different ones are written differently."""
    if isinstance(expression, Field):
        return expression.name
    if isinstance(expression, Constant):
        return "NULL" if expression.value is None else repr(expression.value)
    if isinstance(expression, Distance):
        return "distance"
    made = [written(one) for one in inputs(expression)]
    if isinstance(expression, Summary):
        return f"{expression.name}({'distinct ' if expression.distinct else ''}{', '.join(made) or '*'})"
    infix = not expression.name[0].isalpha() or expression.name in _WORDS
    if infix and len(made) > 1:
        return f"({f' {expression.name} '.join(made)})"
    return f"{expression.name}({', '.join(made)})"
