"""Which NUMERICs DuckDB computes with all of PostgreSQL's digits, and how many digits they may have."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from sqlglot import exp

from nestvec.sql.parse.source import without_parens
from nestvec.sql.relational.rewrites.nodes import INTEGERS, is_text_constant, kind
from nestvec.sql.relational.rewrites.numbers.numeric_types import (
    CHOICES,
    NUMERIC,
    called_operation,
    chosen,
    number_type,
    ordered_number,
)

DIGITS: Final = "digits"
"""The key of a column's meta with the name of the column beside it that has its digits as a text.

Of a call, that it gives the digits of a NUMERIC as a text.
"""
SIZE: Final = "size"
"""The key of the meta of a column, or of a cast to more digits, with those before and behind the point."""
KEY: Final = "key"
"""The key of the meta of an expression that is one of GROUP BY's, which is not to be taken apart."""
VALUE: Final = "value"
"""The key of the meta of a cast of digits to a value of DuckDB."""

Size = tuple[int, int]
"""Digits before and behind the point, at most."""

MAX_DIGITS: Final = 38
_INTEGER_DIGITS: Final = {exp.DType.TINYINT: 3, exp.DType.SMALLINT: 5, exp.DType.INT: 10}
_BIGINT_DIGITS: Final = 19
_MAX_DEPTH: Final = 40
_QUOTIENTS: Final = (exp.Div, exp.IntDiv, exp.Pow, exp.Sqrt, exp.Exp, exp.Ln, exp.Log)
_OF_ONE: Final = (exp.Neg, exp.Abs, exp.Floor, exp.Ceil, exp.Sign)
_SUMS: Final = (exp.Add, exp.Sub, exp.Mul, exp.Mod)
SPREADS: Final = (exp.Stddev, exp.StddevSamp, exp.StddevPop, exp.Variance, exp.VariancePop)
NEIGHBOURS: Final = (exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.NthValue)
"""Functions of windows that give the number of another row."""
_READERS: Final = (exp.Lateral, exp.From, exp.Join, exp.Exists, exp.Any, exp.All, exp.Query, exp.CTE)
"""What reads the rows of a subquery, and not its one value."""
_WITH_FRACTION: Final = (
    "second", "seconds", "epoch", "millisecond", "milliseconds", "julian",
)  # fmt: skip


def is_inexact(node: exp.Expr, depth: int = 0) -> bool:
    """Whether DuckDB may compute another number than PostgreSQL, or have no room for its digits."""
    node = without_parens(node)
    if isinstance(node, exp.Literal):
        return not node.is_string and number_type(node) == NUMERIC and _size_of_constant(node) is None
    if isinstance(node, exp.Column):
        return DIGITS in node.meta
    if isinstance(node, exp.Anonymous) or KEY in node.meta:
        return DIGITS in node.meta or (KEY not in node.meta and bool(called_operation(node)))
    if number_type(node) != NUMERIC:
        return False
    if depth > _MAX_DEPTH:
        return True
    deeper = depth + 1
    if isinstance(node, exp.Subquery):
        item = scalar_item(node)
        return item is not None and (VALUE in item.meta or is_inexact(item, deeper))
    if isinstance(node, exp.Cast):
        return VALUE not in node.meta and _is_inexact_cast(node, deeper)
    if isinstance(node, _QUOTIENTS):
        return True
    if isinstance(node, _SUMS):
        return is_inexact(node.this, deeper) or is_inexact(node.expression, deeper) or size_of(node) is None
    if isinstance(node, _OF_ONE):
        return is_inexact(node.this, deeper)
    if isinstance(node, (exp.Round, exp.Trunc)):
        places = node.args.get("decimals")
        is_constant = places is None or isinstance(without_parens(places), (exp.Literal, exp.Neg))
        return not is_constant or is_inexact(node.this, deeper)
    if isinstance(node, exp.Extract):
        return node.name.lower() in _WITH_FRACTION
    if isinstance(node, CHOICES):
        values = chosen(node)
        return any(is_inexact(value, deeper) for value in values) or size_of_any(values) is None
    return takes_apart(node, deeper)


def takes_apart(value: exp.Expr, depth: int = 0) -> bool:
    """Whether an aggregate, with its FILTER and OVER, is computed from the digits of its numbers."""
    aggregate = aggregate_of(value)
    argument = argument_of(aggregate)
    if argument is None or number_type(argument) not in (NUMERIC, exp.DType.INT):
        return False
    if isinstance(aggregate, exp.Avg):
        # A sum over a window is one of DuckDB's values.
        return True
    if isinstance(aggregate, SPREADS):
        is_small = kind(argument) in _INTEGER_DIGITS and not isinstance(aggregate.this, exp.Distinct)
        return is_small or not isinstance(value, exp.Window) or _has_spread(argument)
    if isinstance(aggregate, exp.Sum):
        return is_inexact(argument, depth) and (not isinstance(value, exp.Window) or _is_summed(argument))
    if isinstance(aggregate, exp.WithinGroup):
        return number_type(aggregate) == NUMERIC and is_inexact(argument, depth)
    if isinstance(aggregate, NEIGHBOURS):
        return "default" not in aggregate.args and is_inexact(argument, depth)
    return isinstance(aggregate, (exp.Max, exp.Min)) and is_inexact(argument, depth)


def _is_summed(argument: exp.Expr) -> bool:
    """Whether a sum over a window has all digits, as integers."""
    from nestvec.sql.relational.rewrites.numbers.fixed_values import fixed_value  # noqa: PLC0415

    return fixed_value(argument) is not None


def _has_spread(argument: exp.Expr) -> bool:
    """Whether a deviation over a window has all digits, as integers."""
    from nestvec.sql.relational.rewrites.numbers.aggregate_texts import spread_numbers  # noqa: PLC0415

    return spread_numbers(argument) is not None


def aggregate_of(value: exp.Expr) -> exp.Expr:
    """The aggregate within FILTER and OVER."""
    while isinstance(value, (exp.Filter, exp.Window)):
        value = value.this
    return value


def argument_of(aggregate: exp.Expr) -> exp.Expr | None:
    """The numbers of an aggregate whose digits count; None for another node."""
    if isinstance(aggregate, exp.WithinGroup):
        return ordered_number(aggregate)
    if not isinstance(aggregate, (exp.Sum, exp.Max, exp.Min, exp.Avg, *SPREADS, *NEIGHBOURS)):
        return None
    argument = aggregate.this
    if isinstance(argument, exp.Distinct):
        argument = argument.expressions[0] if len(argument.expressions) == 1 else None
    return argument if isinstance(argument, exp.Expr) else None


def removes_equal(select: exp.Expr) -> bool:
    """Whether a query has each of its rows once, for which they are compared; with ON other values are."""
    distinct = select.args.get("distinct")
    return isinstance(distinct, exp.Distinct) and distinct.args.get("on") is None


def scalar_item(node: exp.Subquery) -> exp.Expr | None:
    """What ``(SELECT x …)`` selects, where its rows do not depend on it; None for another query."""
    select, is_rows = node.this, isinstance(node.parent, _READERS) or node.arg_key == "query"
    if is_rows or not isinstance(select, exp.Select) or len(select.expressions) != 1 or removes_equal(select):
        return None
    item: exp.Expr = select.expressions[0].unalias()
    return item


def _is_inexact_cast(node: exp.Cast, depth: int) -> bool:
    value = without_parens(node.this)
    if is_text_constant(value):
        return not _is_short(value.name.strip())
    if is_inexact(value, depth):
        return True
    type_ = number_type(value)
    if type_ == exp.DType.INT or isinstance(value, exp.Null):
        return False
    # Of doubles and texts the digits are those of each.
    return type_ != NUMERIC and not node.args["to"].expressions


def _is_short(text: str) -> bool:
    """Whether a text is a number with digits that DuckDB has."""
    digits = text.lstrip("+-").replace(".", "", 1)
    return digits.isdecimal() and digits.isascii() and len(digits) <= MAX_DIGITS


def size_of(node: exp.Expr, depth: int = 0) -> Size | None:
    """The most digits of a number that DuckDB computes; None for more than it has, or if it is not clear."""
    node = without_parens(node)
    if depth > _MAX_DEPTH:
        return None
    size = _size_of(node, depth + 1)
    return size if size is not None and sum(size) <= MAX_DIGITS else None


def _size_of(node: exp.Expr, depth: int) -> Size | None:
    if isinstance(node, exp.Literal):
        return None if node.is_string else _size_of_constant(node)
    if isinstance(node, exp.Column) or SIZE in node.meta:
        return node.meta.get(SIZE)
    if VALUE in node.meta or KEY in node.meta:
        return None
    if isinstance(node, exp.Cast):
        sizes = [int(size.name) for size in node.args["to"].expressions if size.name.isdecimal()]
        if node.args["to"].this != NUMERIC:
            return size_of_type(node.args["to"])
        if not sizes:
            return _size_of_text(node.this) or size_of(node.this, depth)
        places = sizes[1] if len(sizes) > 1 else 0
        return (sizes[0] - places, places)
    if isinstance(node, (exp.Neg, exp.Abs)):
        return size_of(node.this, depth)
    if isinstance(node, (exp.Max, exp.Min)) and (argument := argument_of(node)) is not None:
        return size_of(argument, depth)
    if isinstance(node, (exp.Floor, exp.Ceil)) or (
        isinstance(node, (exp.Round, exp.Trunc)) and node.args.get("decimals") is None
    ):
        size = size_of(node.this, depth)
        return (size[0] + 1, 0) if size is not None else None
    if isinstance(node, exp.Round):
        size = size_of(node.this, depth)
        return (size[0] + 1, size[1]) if size is not None else None
    if isinstance(node, _SUMS):
        return _size_of_two(node, size_of(node.this, depth), size_of(node.expression, depth))
    if isinstance(node, CHOICES):
        return size_of_any(chosen(node), depth)
    if isinstance(node, exp.Sum) and (argument := argument_of(node)) is not None:
        size = size_of(argument, depth)
        return (MAX_DIGITS - size[1], size[1]) if size is not None else None
    if isinstance(node, (exp.Filter, exp.Window)):
        return size_of(node.this, depth)
    if isinstance(node, exp.Subquery):
        item = scalar_item(node)
        return size_of(item, depth) if item is not None else None
    return size_of_type(node.type) if node.type is not None and kind(node) in INTEGERS else None


def size_of_any(values: Sequence[exp.Expr], depth: int = 0) -> Size | None:
    """The digits of the widest of several numbers."""
    constants = [_size_of_text(value) for value in values if is_text_constant(without_parens(value))]
    numbers = [
        size_of(value, depth)
        for value in values
        if not is_text_constant(without_parens(value)) and not isinstance(without_parens(value), exp.Null)
    ]
    sizes = [size for size in (*constants, *numbers) if size is not None]
    if len(sizes) < len(constants) + len(numbers) or not sizes:
        return None
    widest = (max(size[0] for size in sizes), max(size[1] for size in sizes))
    return widest if sum(widest) <= MAX_DIGITS else None


def would_round(values: Sequence[exp.Expr]) -> bool:
    """Whether DuckDB has no type for all digits of several numbers, and would round some."""
    fractions = [each for each in values if number_type(each) == NUMERIC and (size_of(each) or (0, 1))[1]]
    return len(fractions) > 1 and size_of_any(values) is None


def _size_of_two(node: exp.Expr, left: Size | None, right: Size | None) -> Size | None:
    if left is None or right is None:
        return None
    if isinstance(node, exp.Mul):
        return (left[0] + right[0], left[1] + right[1])
    return (max(left[0], right[0]) + (not isinstance(node, exp.Mod)), max(left[1], right[1]))


def size_of_type(type_: exp.DataType) -> Size | None:
    """The digits of the numbers of a type; None for one that does not say it."""
    if type_.this == NUMERIC:
        sizes = [int(size.name) for size in type_.expressions if size.name.isdecimal()]
        if not sizes:
            return None
        places = sizes[1] if len(sizes) > 1 else 0
        return (sizes[0] - places, places)
    if type_.this in INTEGERS:
        return (_INTEGER_DIGITS.get(type_.this, _BIGINT_DIGITS), 0)
    return None


def _size_of_constant(node: exp.Literal) -> Size | None:
    number = Decimal(node.name)
    return _fitting(max(number.adjusted() + 1, 1), max(-int(number.as_tuple().exponent), 0))


def _size_of_text(node: exp.Expr) -> Size | None:
    """The digits of a constant in quotes."""
    text = without_parens(node).name.strip() if is_text_constant(without_parens(node)) else ""
    if not text or not _is_short(text):
        return None
    integer_part, _, fraction = text.lstrip("+-").partition(".")
    return _fitting(max(len(integer_part), 1), len(fraction))


def _fitting(integer_part: int, places: int) -> Size | None:
    return (integer_part, places) if integer_part + places <= MAX_DIGITS else None
