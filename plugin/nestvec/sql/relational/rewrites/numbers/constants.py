"""Constants of numbers: with a point, an exponent or more digits than BIGINT has, they are NUMERIC.

DuckDB takes those of more than 38 digits, and those with an exponent, for doubles.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import FLOAT_TYPES
from nestvec.sql.relational.rewrites.numbers.numeric_types import (
    ARITHMETIC,
    CHOICES,
    NUMERIC,
    common_type,
    number_type,
)
from nestvec_schemas.errors import SqlNotSupported

MAX_DIGITS: Final = 38
"""Digits of a NUMERIC of DuckDB."""

_SHORT: Final = 18
"""Digits that every integer and NUMERIC of DuckDB has."""
_NUMBER: Final = re.compile(r"[0-9]*\.?[0-9]*(?:[eE][+-]?[0-9]{1,3})?")
_LEAST_BIGINT: Final = str(1 << 63)
LEAST: Final = {str(1 << 31): exp.DType.INT, _LEAST_BIGINT: exp.DType.BIGINT}
"""The least integer of each type, behind a minus."""
_COMPARISONS: Final = (
    exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Between, exp.In,
)  # fmt: skip
_MAX_SHOWN: Final = 60
"""Characters of a number in an error."""
_BEYOND: Final = 39
"""The power of ten from which a number is larger than any other of a query, and its inverse smaller."""


def is_long(node: exp.Literal) -> bool:
    """Whether DuckDB, or a sum with it, may not have all digits of a constant."""
    return len(node.name) > _SHORT or "e" in node.name.lower()


def plain_number(node: exp.Literal) -> exp.Expr:
    """``1e2`` and 99999999999999999999 with a point, which makes them NUMERIC of DuckDB, too."""
    if node.is_string or not is_long(node) or not _NUMBER.fullmatch(node.name):
        return node
    digits = _digits(node.name)
    # An integer of at most 18 digits is a BIGINT of DuckDB, of 19 one or a HUGEINT.
    if len(digits) > MAX_DIGITS or digits == _LEAST_BIGINT:
        return node
    if "." not in digits and "e" not in node.name.lower() and int(digits) < int(_LEAST_BIGINT):
        return node
    return exp.Literal.number(digits if "." in digits else f"{digits}.")


def negative(node: exp.Neg) -> exp.Expr:
    """The least integer, whose digits alone are of a wider type."""
    number = node.this.unnest()
    if not isinstance(number, exp.Literal) or number.name not in LEAST:
        return node
    return exp.cast(exp.Literal.string(f"-{number.name}"), LEAST[number.name])


def check_digits(nodes: Sequence[exp.Expr]) -> None:
    """Raise SqlNotSupported for a constant that DuckDB would round where PostgreSQL does not."""
    for node in nodes:
        if not isinstance(node, exp.Literal) or node.is_string or not is_long(node):
            continue
        if not _NUMBER.fullmatch(node.name) or _has_room(node):
            continue
        number = node.name if len(node.name) <= _MAX_SHOWN else f"{node.name[:_MAX_SHOWN]}…"
        raise SqlNotSupported(
            f"a NUMERIC of more than {MAX_DIGITS} digits is not supported here",
            value=number,
            next_step=f"Cast it to a double, {number}::float8.",
        )


def _digits(name: str) -> str:
    """All digits of a number, with a point where it has a fraction; none before it for 0.5."""
    digits = f"{Decimal(name):f}"
    is_long_fraction = len(digits.replace(".", "")) > MAX_DIGITS and digits.startswith("0.")
    return digits[1:] if is_long_fraction else digits


def _has_room(node: exp.Literal) -> bool:
    """Whether a constant has few digits, or is compared or computed with as a double."""
    if len(_digits(node.name).replace(".", "")) <= MAX_DIGITS:
        return True
    child: exp.Expr = node
    parent = node.parent
    while isinstance(parent, (exp.Paren, exp.Neg, exp.If)):
        child, parent = parent, parent.parent
    if isinstance(parent, exp.Cast):
        return parent.args["to"].this in FLOAT_TYPES
    if isinstance(parent, (*ARITHMETIC, *CHOICES, exp.Pow)):
        return number_type(parent) in FLOAT_TYPES
    if not isinstance(parent, _COMPARISONS):
        return False
    type_: Any = common_type([other for other in parent.iter_expressions() if other is not child])
    far = abs(Decimal(node.name).adjusted()) >= _BEYOND
    return type_ in FLOAT_TYPES or (far and type_ in (NUMERIC, exp.DType.INT))
