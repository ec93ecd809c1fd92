"""Doubles near to computed NUMERICs: numbers that are clearly apart are compared without their digits.

A Python function per number would take some ten times as long for a million rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sqlglot import exp

from nestvec.sql.parse.source import without_parens
from nestvec.sql.relational.rewrites.nodes import call
from nestvec.sql.relational.rewrites.numbers.exactness import MAX_DIGITS, is_inexact, size_of
from nestvec.sql.relational.rewrites.numbers.numeric_types import NUMERIC, number_type

NEAR: Final = "near"
"""The key of a column's meta with the name of the column beside it that has doubles near to its numbers.

And with the most digits of those numbers.
"""

_TOLERANCE: Final = 1e-12
"""More than the relative errors of some operations on doubles, and of PostgreSQL's quotients of 16 digits."""
_MAX: Final = 1e300
_MAX_DEPTH: Final = 20
_MAX_DIGITS: Final = 280
"""Digits of all operands together, with which no double is infinite, nor has fewer digits near zero."""
_MAX_POWER: Final = 8
_ORDERED: Final = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)


@dataclass(frozen=True)
class Near:
    """A double, and how far the number may be from it beside the errors of doubles."""

    double: exp.Expr
    digits: int
    """Before and behind the point together, at most."""
    slack: float = 0.0


def near(node: exp.Expr, depth: int = 0) -> Near | None:
    """A double that is near to a number; None where none is known to be: sums of numbers may cancel out."""
    node = without_parens(node)
    if depth > _MAX_DEPTH or number_type(node) not in (NUMERIC, exp.DType.INT):
        return None
    if isinstance(node, exp.Column) and NEAR in node.meta:
        name, digits = node.meta[NEAR]
        return Near(exp.column(exp.to_identifier(name, quoted=True), node.args["table"].copy()), digits)
    if not is_inexact(node):
        is_plain = node.find(exp.Query, exp.AggFunc, exp.Window, exp.Anonymous, exp.Cast) is None
        size = size_of(node)
        is_sized = isinstance(node, exp.Column) or size is not None
        return Near(_double(node), sum(size or (MAX_DIGITS, 0))) if is_plain and is_sized else None
    if isinstance(node, (exp.Mul, exp.Div)):
        return _of_two(node, depth + 1)
    if isinstance(node, (exp.Pow, exp.Sqrt)):
        return _of_power(node, depth + 1)
    if isinstance(node, (exp.Neg, exp.Abs, exp.Round, exp.Trunc)):
        return _of_one(node, depth + 1)
    return None


def _of_two(node: exp.Binary, depth: int) -> Near | None:
    left, right = near(node.this, depth), near(node.expression, depth)
    if left is None or right is None or left.slack or right.slack:
        return None
    second, digits = right.double, left.digits + right.digits
    if digits > _MAX_DIGITS:
        return None
    if isinstance(node, exp.Div):
        # Unlike a quotient it has no error for zero, for which DuckDB would compute it apart from others.
        second = call("pow", second, exp.Neg(this=exp.Literal.number(1)))
    return Near(exp.Mul(this=exp.paren(left.double), expression=exp.paren(second)), digits)


def _of_power(node: exp.Expr, depth: int) -> Near | None:
    """A root, or a power with a constant exponent: the root of a negative number is NaN, and no error."""
    base, exponent = near(node.this, depth), Decimal("0.5")
    if isinstance(node, exp.Pow):
        constant = constant_of(node.expression)
        if constant is None or constant != int(constant) or abs(constant) > _MAX_POWER:
            return None
        exponent = constant
    if base is None or base.slack:
        return None
    digits = base.digits * max(abs(int(exponent)), 1)
    double = call("pow", base.double, _constant(float(exponent)))
    return Near(double, digits) if digits <= _MAX_DIGITS else None


def _of_one(node: exp.Expr, depth: int) -> Near | None:
    inner = near(node.this, depth)
    if inner is None or inner.slack:
        return None
    if isinstance(node, exp.Neg):
        return Near(exp.Neg(this=exp.paren(inner.double)), inner.digits)
    if isinstance(node, exp.Abs):
        return Near(_size(inner.double), inner.digits)
    places = node.args.get("decimals")
    if places is not None and not (isinstance(places, exp.Literal) and len(places.name) <= 2):
        return None
    return Near(inner.double, inner.digits + 1, 10.0 ** -(int(places.name) if places is not None else 0))


def _double(node: exp.Expr) -> exp.Expr:
    return exp.cast(node.copy(), "double")


def compare_near(node: exp.Expr, exactly: exp.Expr) -> exp.Expr | None:
    """A comparison by doubles where they are clearly apart, and exactly elsewhere; None for another one."""
    if not isinstance(node, _ORDERED) or node.find(exp.Column) is None or _joins(node):
        return None
    left, right = near(node.this), near(node.expression)
    if left is None or right is None:
        return None
    number = constant_of(node.expression)
    if number is not None and abs(number) < _MAX:
        return _compare_with_constant(node, left, float(number), exactly)
    limit: exp.Expr = exp.Mul(this=_size(left.double, right.double), expression=_constant(_TOLERANCE))
    if left.slack or right.slack:
        limit = exp.Add(this=limit, expression=_constant(left.slack + right.slack))
    distance = _size(exp.paren(exp.Sub(this=exp.paren(left.double), expression=exp.paren(right.double))))
    roughly = type(node)(this=exp.paren(left.double.copy()), expression=exp.paren(right.double.copy()))
    # It is infinite or NaN where a divisor is zero, which is an error.
    is_number = exp.LT(this=distance.copy(), expression=_constant(_MAX))
    is_apart = exp.and_(exp.GT(this=distance, expression=limit), is_number)
    return _case([exp.If(this=is_apart, true=roughly)], exactly)


def _compare_with_constant(node: exp.Expr, side: Near, number: float, exactly: exp.Expr) -> exp.Expr:
    """Without arithmetic of its own, which DuckDB does not compute where it reads the rows of a subquery."""
    margin = abs(number) * _TOLERANCE + side.slack
    double, is_unequal = side.double, isinstance(node, exp.NEQ)
    below = exp.and_(
        exp.LT(this=double.copy(), expression=_constant(number - margin)),
        exp.GT(this=double.copy(), expression=_constant(-_MAX)),
    )
    above = exp.and_(
        exp.GT(this=double.copy(), expression=_constant(number + margin)),
        exp.LT(this=double.copy(), expression=_constant(_MAX)),
    )
    ifs = [
        exp.If(this=below, true=exp.Boolean(this=is_unequal or isinstance(node, (exp.LT, exp.LTE)))),
        exp.If(this=above, true=exp.Boolean(this=is_unequal or isinstance(node, (exp.GT, exp.GTE)))),
    ]
    return _case(ifs, exactly)


def _case(ifs: list[exp.If], exactly: exp.Expr) -> exp.Expr:
    case = exp.Case(ifs=ifs, default=exactly)
    case.type = exp.DataType(this=exp.DType.BOOLEAN)
    return case


def constant_of(node: exp.Expr) -> Decimal | None:
    """The value of a constant; None for another number."""
    node = without_parens(node)
    if isinstance(node, exp.Neg):
        number = constant_of(node.this)
        return None if number is None else -number
    return Decimal(node.name) if isinstance(node, exp.Literal) and not node.is_string else None


def _joins(node: exp.Binary) -> bool:
    """Whether a comparison may be one by which DuckDB joins tables, as it does by equal values alone."""
    tables = [{column.table for column in side.find_all(exp.Column)} for side in (node.this, node.expression)]
    return isinstance(node, exp.EQ) and all(tables) and tables[0] != tables[1]


def _size(*doubles: exp.Expr) -> exp.Expr:
    """The largest of absolute values."""
    negative = [exp.Neg(this=exp.paren(each)) for each in doubles]
    return call("greatest", *doubles, *negative)


def _constant(number: float) -> exp.Expr:
    return exp.cast(exp.Literal.string(repr(number)), "double")
