"""Expressions to values, a row at a time, as PostgreSQL does: NULL in, NULL out, with few exceptions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from nestvec.sql.bind.expressions.nodes import (
    AggregateCall,
    ColumnRef,
    Constant,
    Distance,
    Expression,
    FunctionCall,
    SourceLocation,
    expression_sql,
)
from nestvec.sql.execute.evaluate import casts, comparisons, numbers, structures, texts
from nestvec.sql.execute.evaluate.evaluation_error import EvaluationError
from nestvec_schemas.errors import SqlDataError

__all__ = ["ScoredRow", "evaluate", "holds", "located"]


class ScoredRow(NamedTuple):
    """A row's fields, and its distance if it comes from a search."""

    row: Mapping[str, Any]
    distance: float | None = None


_STRICT: Final[dict[str, Callable[..., Any]]] = {
    **numbers.FUNCTIONS,
    **texts.FUNCTIONS,
    **casts.FUNCTIONS,
    **comparisons.FUNCTIONS,
    **structures.FUNCTIONS,
}
"""Functions whose result is NULL if any argument is."""


def evaluate(expression: Expression, row: ScoredRow) -> Any:
    """The value of an expression for a row. Raises SqlTypeMismatch if it has none: 1 / 0."""
    if isinstance(expression, ColumnRef):
        return row.row[expression.name]
    if isinstance(expression, Constant):
        return expression.value
    if isinstance(expression, Distance):
        return row.distance
    if isinstance(expression, AggregateCall):
        # The Aggregate node below provides it as a field of this name.
        return row.row[expression_sql(expression)]
    return _apply(expression, row)


def holds(expression: Expression, row: ScoredRow) -> bool:
    """Whether a condition is true: neither false nor NULL."""
    return evaluate(expression, row) is True


def _apply(expression: FunctionCall, row: ScoredRow) -> Any:
    lazy = _LAZY.get(expression.name)
    if lazy is not None:
        return lazy(expression.arguments, row)
    values = []
    for argument in expression.arguments:
        value = evaluate(argument, row)
        if value is None:
            return None
        values.append(value)
    try:
        return _STRICT[expression.name](*values)
    except EvaluationError as error:
        raise located(error, expression.location) from error


def located(error: EvaluationError, mark: SourceLocation | None) -> SqlDataError:
    """An error of a function as an error of the statement, at the position of the function."""
    return SqlDataError(
        error.cause,
        value=error.value,
        next_step=error.next_step,
        statement=mark.statement if mark is not None else "",
        position=mark.position if mark is not None else None,
    )


def _and(arguments: tuple[Expression, ...], row: ScoredRow) -> bool | None:
    return _decided(arguments, row, False)


def _or(arguments: tuple[Expression, ...], row: ScoredRow) -> bool | None:
    return _decided(arguments, row, True)


def _decided(arguments: tuple[Expression, ...], row: ScoredRow, by: bool) -> bool | None:
    """Three-valued logic: one operand may decide, else NULL if any is."""
    unknown = False
    for argument in arguments:
        value: bool | None = evaluate(argument, row)
        if value is by:
            return by
        unknown |= value is None
    return None if unknown else not by


def _in(arguments: tuple[Expression, ...], row: ScoredRow) -> bool | None:
    value = evaluate(arguments[0], row)
    if value is None:
        return None
    others = [evaluate(argument, row) for argument in arguments[1:]]
    if any(argument is not None and bool(argument == value) for argument in others):
        return True
    return None if None in others else False


def _case(arguments: tuple[Expression, ...], row: ScoredRow) -> Any:
    for at in range(0, len(arguments) - 1, 2):
        if evaluate(arguments[at], row) is True:
            return evaluate(arguments[at + 1], row)
    return evaluate(arguments[-1], row)


def _coalesce(arguments: tuple[Expression, ...], row: ScoredRow) -> Any:
    values = (evaluate(argument, row) for argument in arguments)
    return next((value for value in values if value is not None), None)


def _nullif(arguments: tuple[Expression, ...], row: ScoredRow) -> Any:
    value, other = (evaluate(argument, row) for argument in arguments)
    return None if value is not None and value == other else value


def _most(pick: Callable[[Iterable[Any]], Any]) -> Callable[[tuple[Expression, ...], ScoredRow], Any]:
    def picked(arguments: tuple[Expression, ...], row: ScoredRow) -> Any:
        values = [value for argument in arguments if (value := evaluate(argument, row)) is not None]
        return pick(values) if values else None

    return picked


def _concat(arguments: tuple[Expression, ...], row: ScoredRow) -> str:
    return "".join(value for argument in arguments if (value := evaluate(argument, row)) is not None)


def _concat_ws(arguments: tuple[Expression, ...], row: ScoredRow) -> str | None:
    between = evaluate(arguments[0], row)
    if between is None:
        return None
    joined: str = between.join(
        value for argument in arguments[1:] if (value := evaluate(argument, row)) is not None
    )
    return joined


def _is(arguments: tuple[Expression, ...], row: ScoredRow) -> bool:
    return evaluate(arguments[0], row) is evaluate(arguments[1], row)


def _distinct(arguments: tuple[Expression, ...], row: ScoredRow) -> bool:
    left, right = (evaluate(argument, row) for argument in arguments)
    return bool(left != right)


_LAZY: Final[dict[str, Callable[[tuple[Expression, ...], ScoredRow], Any]]] = {
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
    "is null": lambda arguments, row: evaluate(arguments[0], row) is None,
    "is distinct from": _distinct,
    "is not distinct from": lambda arguments, row: not _distinct(arguments, row),
}
"""Functions that choose which arguments to evaluate, and handle NULL themselves."""
