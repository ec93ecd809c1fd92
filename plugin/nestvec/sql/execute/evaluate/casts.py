"""Casts, as PostgreSQL reads and writes values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from nestvec.sql.execute.evaluate.evaluation_error import EvaluationError

_WHOLE: Final = re.compile(r"\s*[+-]?[0-9]{1,400}\s*")
_NUMBER: Final = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")
_TRUE: Final = ("t", "tr", "tru", "true", "y", "ye", "yes", "on", "1")
_FALSE: Final = ("f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0")


def _scalar(value: Any, into: str) -> Any:
    if isinstance(value, (dict, list)):
        raise EvaluationError(
            f"cannot cast JSON with several values to {into}",
            text(value)[:40],
            "Select one value: meta->'a'.",
        )
    return value


def _invalid(into: str, value: str) -> EvaluationError:
    return EvaluationError(
        f"invalid input syntax for type {into}",
        repr(value[:40]),
        "Exclude such rows with WHERE, or use CASE.",
    )


def _integer(into: str, bits: int) -> Callable[[Any], int]:
    def cast(value: Any) -> int:
        value = _scalar(value, into)
        if isinstance(value, str):
            if not _WHOLE.fullmatch(value):
                raise _invalid(into, value)
            value = int(value)
        # A half goes to the even number, as for PostgreSQL's double precision.
        result = round(value) if isinstance(value, float) and math.isfinite(value) else value
        if isinstance(result, float) or not -(1 << bits - 1) <= result < 1 << bits - 1:
            raise EvaluationError(f"{into} out of range", value, "Cast to a wider type.")
        return int(result)

    return cast


def _float(value: Any) -> float:
    value = _scalar(value, "double precision")
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise _invalid("double precision", value)
    try:
        result = float(value)
    except OverflowError as error:
        raise EvaluationError("double precision out of range", value, "Use a smaller number.") from error
    if math.isinf(result):
        raise EvaluationError("double precision out of range", value, "Use a smaller number.")
    return result


def _real(value: Any) -> float:
    wide = _float(value)
    with np.errstate(over="ignore"):
        result = float(np.float32(wide))
    if math.isinf(result):
        raise EvaluationError("real out of range", value, "Cast to float.")
    return result


def _boolean(value: Any) -> bool:
    value = _scalar(value, "boolean")
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise _invalid("boolean", value)
    return bool(value)


def text(value: Any) -> str:
    """A value as text, as PostgreSQL writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _format_float(repr(value), value)
    if isinstance(value, list) and value and all(isinstance(item, float) for item in value):
        return f"[{','.join(real_text(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)


def real_text(value: float) -> str:
    """The shortest text that reads back as this 32-bit float."""
    return _format_float(np.format_float_positional(np.float32(value), trim="-"), value, np.float32(value))


def _format_float(digits: str, value: float, narrow: np.float32 | None = None) -> str:
    """A floating-point number as PostgreSQL prints it: 1, 0.5, 1e+20, 1e-07."""
    size = abs(value)
    if size and not 1e-4 <= size < (1e15 if narrow is None else 1e6):
        if narrow is not None:
            digits = np.format_float_scientific(narrow, trim="-", exp_digits=2)
        mantissa, _, exponent = (digits if "e" in digits else f"{digits}e+00").partition("e")
        if narrow is None and "e" not in digits:
            mantissa, _, exponent = np.format_float_scientific(value, trim="-", exp_digits=2).partition("e")
        return f"{mantissa.removesuffix('.0')}e{exponent}"
    return digits.removesuffix(".0")


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "smallint": _integer("smallint", 16),
    "int": _integer("integer", 32),
    "bigint": _integer("bigint", 64),
    "float": _float,
    "real": _real,
    "boolean": _boolean,
    "text": text,
    "real text": real_text,
    "t or f": lambda value: "t" if value else "f",
}
