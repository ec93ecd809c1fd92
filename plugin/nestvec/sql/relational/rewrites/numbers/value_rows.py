"""Columns of VALUES whose NUMERICs have unlike digits: DuckDB has the same places for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sqlglot import exp

from nestvec.sql.parse.source import without_parens
from nestvec.sql.relational.functions.quotient_scale import scale_of
from nestvec.sql.relational.rewrites.nodes import call
from nestvec.sql.relational.rewrites.numbers.exactness import Size, is_inexact, size_of, size_of_any
from nestvec.sql.relational.rewrites.numbers.numeric_types import NUMERIC, common_type

_SHORT: Final = 18
"""Digits of an integer of 64 bits."""
_MAX_ROWS: Final = 1_000
"""Rows of VALUES with a text beside each number: more take longer to plan than their zeros are worth."""


@dataclass(frozen=True)
class ValuesColumn:
    """A column of VALUES, by what its numbers are."""

    size: Size | None = None
    digits: str = ""
    """The name of the column with the digits of each; empty where DuckDB has them."""
    fixed: tuple[str, str, int, int] | None = None
    """What ``FIXED`` says of columns with integers."""


def describe_values(values: exp.Values, column: str, names: Sequence[str]) -> ValuesColumn:
    """Describe a column, and add others with its digits, integers and scales, called ``names``."""
    alias, rows, listed = values.args.get("alias"), values.expressions, values.alias_column_names
    at = listed.index(column) if column in listed else len(listed)
    if not all(isinstance(row, exp.Tuple) and at < len(row.expressions) for row in rows):
        return ValuesColumn()
    numbers = [row.expressions[at] for row in rows]
    if common_type(numbers) != NUMERIC:
        return ValuesColumn()
    sizes = [size_of(number) for number in numbers if not isinstance(number, exp.Null)]
    size = size_of_any(numbers)
    if not any(map(is_inexact, numbers)) and len({each and each[1] for each in sizes}) < 2:
        return ValuesColumn(size)
    if not isinstance(alias, exp.TableAlias) or len(listed) != len(rows[0].expressions):
        return ValuesColumn()
    if len(rows) > _MAX_ROWS or values.find(exp.Rand, exp.Query) is not None:
        return ValuesColumn()
    constants = [_constant(number) for number in numbers] if size and sum(size) <= _SHORT else []
    has_integers = bool(constants) and None not in constants
    for row, number in zip(rows, numbers, strict=True):
        digits = number.copy() if isinstance(number, exp.Null) else call("pg_digits", number)
        row.append("expressions", digits)
    for row, constant in zip(rows, constants if has_integers else (), strict=False):
        for part in _integers(constant, size[1] if size else 0):
            row.append("expressions", part)
    added = names if has_integers else names[:1]
    for name in added:
        alias.append("columns", exp.to_identifier(name, quoted=True))
    fixed = (names[1], names[2], size[1], size[0]) if has_integers and size else None
    return ValuesColumn(None, names[0], fixed)


def _constant(number: exp.Expr) -> Decimal | None:
    """A constant; NaN for NULL, and None for another expression."""
    number = without_parens(number)
    if isinstance(number, exp.Null):
        return Decimal("NaN")
    inner = without_parens(number.this) if isinstance(number, exp.Neg) else number
    if not isinstance(inner, exp.Literal) or inner.is_string:
        return None
    return Decimal(inner.name) * (-1 if inner is not number else 1)


def _integers(constant: Decimal | None, places: int) -> list[exp.Expr]:
    """A number times 10**places, and the digits that it shows behind the point."""
    if constant is None or constant.is_nan():
        return [exp.Null(), exp.Null()]
    units = exp.cast(exp.Literal.string(str(int(constant.scaleb(places)))), "bigint")
    return [units, exp.cast(exp.Literal.string(str(scale_of(constant))), "int")]
