"""Expressions to values, a row at a time, as PostgreSQL does: NULL in, NULL out, unless said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from nestvec.sql.bind.expressions import Apply, Constant, Distance, Expression, Field, Mark, Summary, written
from nestvec.sql.run.evaluate import casts, comparisons, numbers, structures, texts
from nestvec.sql.run.evaluate.unfit import Unfit
from nestvec_schemas.errors import SqlTypeMismatch

__all__ = ["Found", "evaluate", "holds", "placed"]


class Found(NamedTuple):
    """A row's fields, and the number it was ranked by where rows were searched for."""

    row: Mapping[str, Any]
    distance: float | None = None


_STRICT: Final[dict[str, Callable[..., Any]]] = {
    **numbers.FUNCTIONS,
    **texts.FUNCTIONS,
    **casts.FUNCTIONS,
    **comparisons.FUNCTIONS,
    **structures.FUNCTIONS,
}
"""What is NULL where any argument is."""


def evaluate(expression: Expression, found: Found) -> Any:
    """The value of an expression for a row. Raises SqlTypeMismatch where it has none: 1 / 0."""
    if isinstance(expression, Field):
        return found.row[expression.name]
    if isinstance(expression, Constant):
        return expression.value
    if isinstance(expression, Distance):
        return found.distance
    if isinstance(expression, Summary):
        # The plan's node that aggregates gives it as a field of its name.
        return found.row[written(expression)]
    return _apply(expression, found)


def holds(expression: Expression, found: Found) -> bool:
    """Whether a condition is true: neither false nor NULL."""
    return evaluate(expression, found) is True


def _apply(expression: Apply, found: Found) -> Any:
    lazy = _LAZY.get(expression.name)
    if lazy is not None:
        return lazy(expression.arguments, found)
    values = []
    for one in expression.arguments:
        value = evaluate(one, found)
        if value is None:
            return None
        values.append(value)
    try:
        return _STRICT[expression.name](*values)
    except Unfit as error:
        raise placed(error, expression.mark) from error


def placed(error: Unfit, mark: Mark | None) -> SqlTypeMismatch:
    """What a function cannot do, as an error of the statement, at the place of the function."""
    return SqlTypeMismatch(
        error.cause,
        value=error.value,
        next_step=error.next_step,
        statement=mark.statement if mark is not None else "",
        position=mark.position if mark is not None else None,
    )


def _and(arguments: tuple[Expression, ...], found: Found) -> bool | None:
    return _decided(arguments, found, False)


def _or(arguments: tuple[Expression, ...], found: Found) -> bool | None:
    return _decided(arguments, found, True)


def _decided(arguments: tuple[Expression, ...], found: Found, by: bool) -> bool | None:
    """Three-valued logic: one operand may decide, else NULL where any is."""
    unknown = False
    for one in arguments:
        value: bool | None = evaluate(one, found)
        if value is by:
            return by
        unknown |= value is None
    return None if unknown else not by


def _in(arguments: tuple[Expression, ...], found: Found) -> bool | None:
    value = evaluate(arguments[0], found)
    if value is None:
        return None
    others = [evaluate(one, found) for one in arguments[1:]]
    if any(one is not None and bool(one == value) for one in others):
        return True
    return None if None in others else False


def _case(arguments: tuple[Expression, ...], found: Found) -> Any:
    for at in range(0, len(arguments) - 1, 2):
        if evaluate(arguments[at], found) is True:
            return evaluate(arguments[at + 1], found)
    return evaluate(arguments[-1], found)


def _coalesce(arguments: tuple[Expression, ...], found: Found) -> Any:
    values = (evaluate(one, found) for one in arguments)
    return next((value for value in values if value is not None), None)


def _nullif(arguments: tuple[Expression, ...], found: Found) -> Any:
    value, other = (evaluate(one, found) for one in arguments)
    return None if value is not None and value == other else value


def _most(pick: Callable[[Iterable[Any]], Any]) -> Callable[[tuple[Expression, ...], Found], Any]:
    def picked(arguments: tuple[Expression, ...], found: Found) -> Any:
        values = [value for one in arguments if (value := evaluate(one, found)) is not None]
        return pick(values) if values else None

    return picked


def _concat(arguments: tuple[Expression, ...], found: Found) -> str:
    return "".join(value for one in arguments if (value := evaluate(one, found)) is not None)


def _concat_ws(arguments: tuple[Expression, ...], found: Found) -> str | None:
    between = evaluate(arguments[0], found)
    if between is None:
        return None
    joined: str = between.join(value for one in arguments[1:] if (value := evaluate(one, found)) is not None)
    return joined


def _is(arguments: tuple[Expression, ...], found: Found) -> bool:
    return evaluate(arguments[0], found) is evaluate(arguments[1], found)


def _distinct(arguments: tuple[Expression, ...], found: Found) -> bool:
    left, right = (evaluate(one, found) for one in arguments)
    return bool(left != right)


_LAZY: Final[dict[str, Callable[[tuple[Expression, ...], Found], Any]]] = {
    "and": _and,
    "or": _or,
    "in": _in,
    "case": _case,
    "coalesce": _coalesce,
    "nullif": _nullif,
    "greatest": _most(max),
    "least": _most(min),
    "concat": _concat,
    "concat_ws": _concat_ws,
    "is": _is,
    "is null": lambda arguments, found: evaluate(arguments[0], found) is None,
    "is distinct from": _distinct,
    "is not distinct from": lambda arguments, found: not _distinct(arguments, found),
}
"""What says by itself which arguments it reads, and what NULL means to it."""
