"""Computed NUMERICs as integers of DuckDB: each number times the same power of ten, and the digits it shows.

Integers are summed, grouped, sorted and compared without a text of each row, and without a call of Python
for each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from typing import Final

from sqlglot import exp

from nestvec.sql.parse.source import without_parens
from nestvec.sql.relational.functions.quotient_scale import GROUP, quotient_scale
from nestvec.sql.relational.functions.quotients import layout
from nestvec.sql.relational.rewrites.nodes import call, kind
from nestvec.sql.relational.rewrites.numbers.exactness import KEY, MAX_DIGITS, VALUE, is_inexact, size_of
from nestvec.sql.relational.rewrites.numbers.numeric_types import NUMERIC, number_type

FIXED: Final = "fixed"
"""The key of a column's meta with the names of the columns beside it that have its integers and scales.

And with the places and digits of those. Of a call, the integers of its text.
"""

_SHORT: Final = 18
"""Digits of an integer of 64 bits."""
ROUGH_DIGITS: Final = 15
"""Digits of an integer that a double has."""
_MAX_FRACTION: Final = 36
"""Digits behind the point that a quotient has."""
_MAX_DEPTH: Final = 20
_MAX_QUOTIENTS: Final = 8
"""Of one expression: more take longer to plan than they save."""
_VARYING: Final = (exp.Query, exp.AggFunc, exp.Window, exp.Rand, exp.Anonymous)
"""Nodes that may not be written twice."""


@dataclass(frozen=True)
class Fixed:
    """Numbers as integers."""

    units: exp.Expr
    """The number times 10**places."""
    places: int
    before: int
    """Digits before the point, at most."""
    scale: exp.Expr | None = None
    """The digits behind the point that are shown, by row; None for those of ``places``."""
    is_wide: bool = True
    """Whether the integers have 128 bits."""

    @property
    def scale_node(self) -> exp.Expr:
        return exp.Literal.number(self.places) if self.scale is None else self.scale.copy()


def fixed_value(node: exp.Expr) -> Fixed | None:
    """The integers of a computed number; None for one that needs more digits, or is computed otherwise."""
    quotients = len(list(islice(node.find_all(exp.Div), _MAX_QUOTIENTS + 1)))
    return _fixed(node) if quotients <= _MAX_QUOTIENTS and node.find(exp.Column) is not None else None


def _fixed(node: exp.Expr, depth: int = 0) -> Fixed | None:
    node = without_parens(node)
    if depth > _MAX_DEPTH or number_type(node) not in (NUMERIC, exp.DType.INT):
        return None
    if KEY in node.meta or VALUE in node.meta:
        return None
    deeper = depth + 1
    if FIXED in node.meta:
        return _of_column(node) if isinstance(node, exp.Column) else node.meta[FIXED]
    if isinstance(node, exp.Literal):
        return _of_constant(node)
    if isinstance(node, (exp.Neg, exp.Abs)):
        inner = _fixed(node.this, deeper)
        name = "pg_negative" if isinstance(node, exp.Neg) else "abs"
        return inner and replace(inner, units=call(name, inner.units))
    if number_type(node) == NUMERIC and isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Div)):
        left, right = _fixed(node.this, deeper), _fixed(node.expression, deeper)
        if left is None or right is None:
            return None
        if isinstance(node, exp.Div):
            return _quotient(left, right)
        return _product(left, right) if isinstance(node, exp.Mul) else _sum(node, left, right)
    if isinstance(node, (exp.Round, exp.Trunc, exp.Floor, exp.Ceil)) and number_type(node) == NUMERIC:
        return _at_places(node, _fixed(node.this, deeper))
    return _exact(node)


def _exact(node: exp.Expr) -> Fixed | None:
    """A number that DuckDB computes with the same places for all rows."""
    size = size_of(node)
    is_base = isinstance(node, (exp.Column, exp.Cast)) or number_type(node) == exp.DType.INT
    if size is None or not is_base or is_inexact(node) or node.find(*_VARYING) is not None:
        return None
    if isinstance(node, exp.Cast) and node.to.this == NUMERIC and not node.to.expressions:
        return None
    before, places = size
    if sum(size) > _SHORT or (number_type(node) != exp.DType.INT and kind(node) != NUMERIC):
        return None
    if not places:
        return Fixed(call("pg_whole_units", node), 0, before, is_wide=False)
    is_long = before + 2 * places > _SHORT
    if is_long and 2 * places > _SHORT:
        return None
    units = call("pg_long_units" if is_long else "pg_units", node, exp.Literal.number(10**places))
    return Fixed(units, places, before, is_wide=False)


def _of_column(column: exp.Column) -> Fixed:
    units, scale, places, before = column.meta[FIXED]
    names = (exp.to_identifier(name, quoted=True) for name in (units, scale))
    nodes = [exp.column(name, column.args["table"].copy()) for name in names]
    return Fixed(nodes[0], places, before, nodes[1])


def _of_constant(node: exp.Literal) -> Fixed | None:
    size = size_of(node)
    if node.is_string or size is None or sum(size) > _SHORT:
        return None
    units = int(Decimal(node.name).scaleb(size[1]))
    return Fixed(exp.Literal.number(units), size[1], size[0], is_wide=False)


def constant_units(value: Fixed) -> int | None:
    return int(value.units.name) if isinstance(value.units, exp.Literal) else None


def _wide(value: Fixed, places: int) -> exp.Expr:
    """The integers in 128 bits, with more places."""
    factor = exp.Literal.string(str(10 ** (places - value.places)))
    return call("pg_times", call("pg_wide", value.units), factor)


def _sum(node: exp.Binary, left: Fixed, right: Fixed) -> Fixed | None:
    places, before = max(left.places, right.places), max(left.before, right.before) + 1
    if before + places > MAX_DIGITS:
        return None
    name = "pg_plus" if isinstance(node, exp.Add) else "pg_minus"
    units = call(name, _wide(left, places), _wide(right, places))
    return Fixed(units, places, before, _scale_of_two("pg_larger", left, right))


def _product(left: Fixed, right: Fixed) -> Fixed | None:
    places, before = left.places + right.places, left.before + right.before
    if before + places > MAX_DIGITS:
        return None
    units = call("pg_product", call("pg_wide", left.units), right.units)
    return Fixed(units, places, before, _scale_of_two("pg_plus", left, right))


def _scale_of_two(name: str, left: Fixed, right: Fixed) -> exp.Expr | None:
    if left.scale is None and right.scale is None:
        return None
    scales = [
        call("pg_scale_of", side.scale_node, side.units) if side.scale is None else side.scale
        for side in (left, right)
    ]
    return call(name, *scales)


def _quotient(left: Fixed, right: Fixed) -> Fixed | None:
    divisor = constant_units(right)
    if left.scale is not None or right.scale is not None or divisor == 0:
        return None
    if divisor is not None and constant_units(left) is not None:
        return None
    least = divisor if divisor is not None else 1
    before = len(str(10 ** (left.before + right.places) // least))
    scale = _largest_scale(left, right)
    digits = scale + right.places - left.places
    if before + scale > MAX_DIGITS or digits > _MAX_FRACTION:
        return None
    is_wide = left.is_wide or right.is_wide
    words = exp.Literal.number(layout(left.places, right.places, digits))
    operands = [exp.cast(side.units, "decimal(38, 0)") if is_wide else side.units for side in (left, right)]
    parts = call("pg_long_quotient_parts" if is_wide else "pg_quotient_parts", *operands, words)
    powers = [_SHORT + digits, digits, max(digits - _SHORT, 0)]
    # With more digits behind the point it has fewer before it.
    has_high = is_wide and powers[0] <= MAX_DIGITS
    factors = [exp.Literal.string(str(10**power)) for power in powers[0 if has_high else 1 :]]
    units = call("pg_joined_long_parts" if has_high else "pg_joined_parts", parts, *factors)
    return Fixed(units, scale, before, call("pg_quotient_scale", parts))


def _largest_scale(left: Fixed, right: Fixed) -> int:
    """The most digits behind the point that PostgreSQL gives a quotient of such numbers."""
    return max(
        quotient_scale((weight_a, first_a), (weight_b, first_b), left.places, right.places)
        for weight_a, first_a, _ in _first_digits(left)
        for weight_b, _, first_b in _first_digits(right)
    )


def _first_digits(value: Fixed) -> list[tuple[int, int, int]]:
    """The weights of the first digit, of base 10,000, and the least and the largest such digit of each."""
    units = constant_units(value)
    most = abs(units) if units is not None else 10 ** (value.before + value.places) - 1
    least = abs(units) if units is not None else 1
    leading = [(0, 0, 0)] if units is None or not units else []
    for weight in range(-value.places // GROUP, (value.before - 1) // GROUP + 1):
        power = value.places + GROUP * weight
        low, high = max(10 ** max(power, 0), least), min(10 ** (power + GROUP) - 1, most)
        if low <= high:
            numbers = (n // 10**power if power >= 0 else n * 10**-power for n in (low, high))
            leading.append((weight, *numbers))
    return leading


def _at_places(node: exp.Expr, value: Fixed | None) -> Fixed | None:
    """round(), trunc(), floor() and ceil() to places that are a constant."""
    decimals = node.args.get("decimals")
    places = _places(decimals) if decimals is not None else 0
    if value is None or places is None:
        return None
    before = value.before + 1
    more = places - value.places
    if more >= 0:
        has_room = before + places <= MAX_DIGITS
        return Fixed(_wide(value, places), places, before) if has_room else None
    unit = 10**-more
    name = "pg_cut_units" if before + places <= ROUGH_DIGITS else "pg_cut_long_units"
    mode = type(node).__name__.lower()
    added = {"round": unit // 2, "trunc": 0}.get(mode, unit - 1)
    side = exp.Literal.number({"floor": -1, "ceil": 1}.get(mode, 0))
    numbers = [exp.Literal.string(str(number)) for number in (unit, added)]
    return Fixed(call(name, call("pg_wide", value.units), *numbers, side), places, before)


def _places(node: exp.Expr) -> int | None:
    node = without_parens(node)
    is_small = isinstance(node, exp.Literal) and not node.is_string and node.is_int and len(node.name) < 3
    return int(node.name) if is_small else None


def fixed_text(value: Fixed) -> exp.Expr:
    """The digits of a number, as PostgreSQL shows them."""
    text = call("pg_fixed_text", value.units, exp.Literal.number(value.places), value.scale_node)
    text.type = exp.DataType(this=exp.DType.VARCHAR)
    return text


def fixed_decimal(value: Fixed, places: int) -> exp.Expr | None:
    """A number of DuckDB with these places; None where it has more, or too many digits."""
    if value.places > places or value.before + places > MAX_DIGITS:
        return None
    unit = exp.Literal.string(f"0.{'0' * (places - 1)}1")
    return call("pg_fixed_decimal", _wide(value, places), exp.cast(unit, f"decimal({places}, {places})"))
