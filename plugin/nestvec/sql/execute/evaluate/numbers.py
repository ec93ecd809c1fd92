"""Arithmetic on 64-bit integers and doubles; integer division truncates toward zero."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from typing import Any, Final

from nestvec.sql.execute.evaluate.evaluation_error import EvaluationError

Number = int | float

MAX_INT64: Final = (1 << 63) - 1
_DIGITS: Final = Context(prec=800)
"""Enough for every double, written out."""


def checked(value: Number) -> Number:
    """A result, checked to fit its type. Raises EvaluationError beyond 64 bits, and for infinity."""
    if isinstance(value, int):
        if not -MAX_INT64 - 1 <= value <= MAX_INT64:
            raise EvaluationError("bigint out of range", value, "Cast an operand to float first.")
    elif not math.isfinite(value):
        raise EvaluationError("value out of range: overflow", value, "Use smaller numbers.")
    return value


def _arithmetic(does: Callable[[Any, Any], Number]) -> Callable[[Number, Number], Number]:
    def done(left: Number, right: Number) -> Number:
        try:
            return checked(does(left, right))
        except OverflowError as error:
            raise EvaluationError(
                "value out of range: overflow", f"{left}, {right}", "Use smaller numbers."
            ) from error

    return done


def _not_zero(left: Number, right: Number) -> None:
    if right == 0:
        raise EvaluationError("division by zero", left, "Write NULLIF(divisor, 0) to get NULL instead.")


def _divide(left: Number, right: Number) -> Number:
    _not_zero(left, right)
    if isinstance(left, int) and isinstance(right, int):
        return _divide_truncating(left, right)
    return left / right


def _divide_truncating(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _modulo(left: Number, right: Number) -> Number:
    _not_zero(left, right)
    if isinstance(left, int) and isinstance(right, int):
        return left - _divide_truncating(left, right) * right
    return math.fmod(left, right)


def _div(left: Number, right: Number) -> Number:
    _not_zero(left, right)
    if isinstance(left, int) and isinstance(right, int):
        return _divide_truncating(left, right)
    return float(math.trunc(left / right))


def _power(base: Number, exponent: Number) -> float:
    try:
        return float(checked(math.pow(base, exponent)))
    except OverflowError as error:
        raise EvaluationError(
            "value out of range: overflow", f"{base}, {exponent}", "Use smaller numbers."
        ) from error
    except ValueError as error:
        cause = (
            "zero raised to a negative power" if base == 0 else "a negative number has no fractional power"
        )
        raise EvaluationError(cause, f"{base}, {exponent}", "Use positive numbers.") from error


def _real(does: Callable[[float], float], cause: str) -> Callable[[Number], float]:
    def done(value: Number) -> float:
        try:
            return float(checked(does(value)))
        except OverflowError as error:
            raise EvaluationError("value out of range: overflow", value, "Use a smaller number.") from error
        except ValueError as error:
            raise EvaluationError(
                cause, value, "Use positive numbers, and CASE WHEN for the others."
            ) from error

    return done


def _log(*values: Number) -> float:
    base, value = values if len(values) == 2 else (10, values[0])
    if base <= 0 or value <= 0:
        raise EvaluationError(
            "only positive numbers have a logarithm", min(base, value), "Use positive numbers."
        )
    if base == 1:
        raise EvaluationError("division by zero", base, "Use another base.")
    return math.log10(value) if base == 10 else math.log(value) / math.log(base)


def _rounded(way: str) -> Callable[..., float]:
    """Round to places after the point (before it, where they are negative), as decimals are written."""

    def done(value: Number, places: int) -> float:
        if abs(places) > 400 or value == 0:
            return float(value) if places > 0 else 0.0
        exact = Decimal(value) if isinstance(value, int) else Decimal(repr(value))
        return float(exact.quantize(Decimal(1).scaleb(-places), rounding=way, context=_DIGITS))

    return done


_HALF_UP, _DOWN = _rounded(ROUND_HALF_UP), _rounded(ROUND_DOWN)


def _round(value: Number, *places: int) -> float:
    """To the nearest whole number, the even one of two; to decimal places, the one away from zero."""
    return _HALF_UP(value, places[0]) if places else float(round(value))


def _trunc(value: Number, *places: int) -> float:
    return _DOWN(value, places[0]) if places else float(math.trunc(value))


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "+": _arithmetic(operator.add),
    "-": _arithmetic(operator.sub),
    "*": _arithmetic(operator.mul),
    "/": _arithmetic(_divide),
    "%": _arithmetic(_modulo),
    "div": _arithmetic(_div),
    "negative": lambda value: checked(-value),
    "abs": lambda value: checked(abs(value)),
    "sign": lambda value: float((value > 0) - (value < 0)),
    "round": _round,
    "trunc": _trunc,
    "floor": lambda value: float(math.floor(value)),
    "ceil": lambda value: float(math.ceil(value)),
    "sqrt": _real(math.sqrt, "a negative number has no square root"),
    "exp": _real(math.exp, "the number has no exponential"),
    "ln": _real(math.log, "only positive numbers have a logarithm"),
    "power": _power,
    "log": _log,
}
