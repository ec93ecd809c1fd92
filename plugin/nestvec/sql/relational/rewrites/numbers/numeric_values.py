"""Computed NUMERICs that do not become texts: values of DuckDB, and keys that compare as the numbers do.

A value has 38 digits, 20 of them behind the point. Comparisons and ORDER BY have no such limit: they compare
texts that sort as the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sqlglot import exp

from nestvec.sql.parse.source import without_parens
from nestvec.sql.relational.rewrites.nodes import FLOAT_TYPES, INTEGERS, anonymous_name, call
from nestvec.sql.relational.rewrites.numbers.compared_rows import compared_pairs
from nestvec.sql.relational.rewrites.numbers.exactness import (
    KEY,
    MAX_DIGITS,
    NEIGHBOURS,
    SIZE,
    SPREADS,
    VALUE,
    argument_of,
    is_inexact,
    removes_equal,
    scalar_item,
    size_of,
    takes_apart,
    would_round,
)
from nestvec.sql.relational.rewrites.numbers.fixed_values import (
    FIXED,
    fixed_decimal,
    fixed_text,
    fixed_value,
)
from nestvec.sql.relational.rewrites.numbers.near_values import compare_near, constant_of
from nestvec.sql.relational.rewrites.numbers.numeric_texts import OPERATIONS, TEXTS, text_of
from nestvec.sql.relational.rewrites.numbers.numeric_types import (
    ARITHMETIC,
    CHOICES,
    NUMERIC,
    called_operation,
    common_type,
    number_type,
)
from nestvec.sqltypes.decimals import to_sorted_text

VALUE_PLACES: Final = 20
VALUE_TYPE: Final = f"decimal(38, {VALUE_PLACES})"

_SHORT: Final = 18
"""Digits of the numbers that DuckDB computes with in 64 bits."""
_AVERAGED: Final = "averaged"
"""The key of the meta of an average's value with the size of its numbers; None for other values."""
_COUNT_DIGITS: Final = 13
"""Digits of how many rows there may be, and one more."""
_COMPARISONS: Final = (
    exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Between, exp.In,
)  # fmt: skip
_AROUND_AGGREGATES: Final = (exp.Filter, exp.Window, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)
_OPERANDS: Final = ("this", "expression", "expressions", "low", "high")


def write_values(nodes: Sequence[exp.Expr]) -> bool:
    """Write computed NUMERICs, innermost first. Whether there were any; the tree is changed."""
    changed = False
    for node in reversed(nodes):
        if node.parent is None:
            continue
        if anonymous_name(node) == "PG_DIGITS":
            _write_digits(node)
            changed = True
        elif anonymous_name(node) == "PG_KEY":
            node.replace(_key(node.expressions[0]))
            changed = True
        elif isinstance(node, exp.Between) and not node.args.get("symmetric"):
            for part in _bounds(node):
                changed |= _write_comparison(part)
        elif _write_pairs(compared_pairs(node)):
            changed = True
        elif isinstance(node, _COMPARISONS):
            changed |= _write_comparison(node)
        elif isinstance(node, (exp.Add, exp.Sub, exp.Mul)) and not is_inexact(node):
            changed |= _widen(node)
        elif number_type(node) == NUMERIC and (is_inexact(node) or _is_inexact_key(node)):
            changed |= _write(node)
    return changed


def _write_digits(node: exp.Expr) -> None:
    """Write the digits of a number; those of any number of a group once."""
    value, parent = fixed_value(node.expressions[0]), node.parent
    if value is None or parent is None or anonymous_name(parent) != "ANY_VALUE":
        node.replace(text_of(node.expressions[0]))
        return
    any_units, any_scale = (call("any_value", part) for part in (value.units, value.scale_node))
    parent.meta[FIXED] = replace(value, units=any_units, scale=any_scale)
    text = fixed_text(parent.meta[FIXED])
    for name in ("this", "expressions"):
        parent.set(name, text.args[name])


def _widen(node: exp.Binary) -> bool:
    """Have DuckDB compute with 38 digits where it would take 18 of them for two short numbers."""
    sizes = [size_of(operand) for operand in (node.this, node.expression)]
    size = size_of(node)
    if number_type(node) != NUMERIC or size is None or sum(size) <= _SHORT or None in sizes:
        return False
    left, right = sizes
    if left is None or right is None or max(sum(left), sum(right)) > _SHORT:
        return False
    wide = exp.cast(node.this.copy(), f"decimal(38, {left[1]})")
    wide.type = wide.to
    wide.meta[SIZE] = left
    node.set("this", wide)
    return True


def _write(node: exp.Expr) -> bool:
    """Write a number for what surrounds it, unless that writes it."""
    if KEY in node.meta:
        # Its columns are not those of a group.
        node.replace(_value(text_of(_without_mark(node)), key=True))
        return True
    side, parent = _place(node)
    if isinstance(parent, _AROUND_AGGREGATES) and side.arg_key == "this":
        return False
    if anonymous_name(parent) in ("PG_DIGITS", "PG_KEY") or _absorbs(parent, side):
        return False
    if isinstance(parent, _COMPARISONS) and side.arg_key in _OPERANDS:
        return False
    if isinstance(parent, exp.Cast):
        to = parent.to.this
        if to in TEXTS or to in FLOAT_TYPES:
            node.replace(text_of(node))
            return True
        if to in INTEGERS:
            rounded = call("pg_numeric", exp.Literal.string("round"), text_of(node), exp.Literal.string("0"))
            node.replace(_value(rounded, "decimal(38, 0)"))
            return True
    if isinstance(parent, (exp.Count, exp.Is)):
        node.replace(_units(node) or text_of(node))
        return True
    is_ordering = isinstance(parent, exp.Ordered) and _orders_freely(parent)
    is_ordering |= isinstance(parent, exp.Tuple) and isinstance(parent.parent, exp.Distinct)
    is_ordering |= isinstance(parent, exp.Distinct) and isinstance(parent.parent, exp.Count)
    if is_ordering or isinstance(parent, exp.Group) or side.arg_key == "partition_by":
        node.replace(_units(node) or _key(node))
    elif isinstance(parent, (*ARITHMETIC, exp.Pow, *CHOICES)) and number_type(parent) in FLOAT_TYPES:
        node.replace(_double(node))
    else:
        value = _value_of(node)
        numbers = argument_of(node) if isinstance(node, exp.Avg) else None
        value.meta[_AVERAGED] = size_of(numbers) if numbers is not None else None
        node.replace(value)
    return True


def _units(node: exp.Expr) -> exp.Expr | None:
    """Integers that compare as the numbers do; None where there are none."""
    value = fixed_value(node)
    return value.units if value is not None else None


def _value_of(node: exp.Expr) -> exp.Expr:
    fixed = fixed_value(node)
    value = fixed_decimal(fixed, VALUE_PLACES) if fixed is not None else None
    if value is None:
        return _value(text_of(node))
    value.type = exp.DataType(this=NUMERIC)
    value.meta[VALUE] = fixed
    return value


def _place(node: exp.Expr) -> tuple[exp.Expr, exp.Expr]:
    """A node with the parentheses around it, and what is outside of those."""
    side = node
    while isinstance(side.parent, exp.Paren):
        side = side.parent
    return side, side.parent or exp.Expr()


def _without_mark(node: exp.Expr) -> exp.Expr:
    copied = node.copy()
    copied.meta.pop(KEY, None)
    return copied


def _is_inexact_key(node: exp.Expr) -> bool:
    return KEY in node.meta and is_inexact(_without_mark(node))


def _value(text: exp.Expr, type_: str = VALUE_TYPE, *, key: bool = False) -> exp.Expr:
    """A number of DuckDB; one with more digits before the point than it has is an error."""
    value = exp.cast(text, type_)
    value.type = exp.DataType(this=NUMERIC)
    value.meta[KEY if key else VALUE] = True
    return value


def _double(node: exp.Expr) -> exp.Expr:
    double = exp.cast(text_of(node), "double")
    double.type = double.to
    return double


def _key(node: exp.Expr) -> exp.Expr:
    """A text that compares as the number does."""
    constant = constant_of(node)
    if constant is not None:
        return exp.Literal.string(to_sorted_text(constant))
    key = call("pg_numeric_key", text_of(node))
    key.type = exp.DataType(this=exp.DType.VARCHAR)
    return key


def _write_comparison(node: exp.Expr) -> bool:
    """Compare texts that sort as the numbers, where one of them is computed."""
    operands = [
        operand
        for name in _OPERANDS
        for operand in (node.args.get(name) if name == "expressions" else [node.args.get(name)]) or ()
        if isinstance(operand, exp.Expr)
    ]
    computed = [operand for operand in operands if is_inexact(operand)]
    if not computed and not would_round(operands):
        return False
    has_rows = node.args.get("query") is not None or any(map(_is_quantified, operands))
    type_ = None if has_rows else common_type(operands)
    if type_ == NUMERIC and _write_average(operands):
        return True
    if type_ == NUMERIC:
        original = node.copy()
        for operand in operands:
            if not isinstance(without_parens(operand), exp.Null):
                operand.replace(_key(operand))
        quick = compare_near(original, node.copy())
        if quick is not None:
            node.replace(exp.paren(quick))
        return True
    for operand in computed:
        operand.replace(_double(operand) if type_ in FLOAT_TYPES else _value_of(operand))
    return True


def _write_average(operands: Sequence[exp.Expr]) -> bool:
    """Compare the average of a subquery as a number of DuckDB, without a key of each row.

    What is cut off of it is less than it may differ from a number with few places.
    """
    if len(operands) != 2:
        return False
    for query, other in (operands, operands[::-1]):
        subquery = without_parens(query)
        item = scalar_item(subquery) if isinstance(subquery, exp.Subquery) else None
        sizes = (item.meta.get(_AVERAGED) if item is not None else None, size_of(other))
        if None in sizes or is_inexact(other):
            continue
        before, places = (max(size[at] for size in sizes if size) for at in (0, 1))
        if MAX_DIGITS - before < places + _COUNT_DIGITS:
            continue
        query.replace(_value(text_of(query), f"decimal({MAX_DIGITS}, {MAX_DIGITS - before})"))
        return True
    return False


def _write_pairs(pairs: Sequence[Sequence[exp.Expr]]) -> bool:
    """Compare keys where a number is computed, also one that is a value already, which has its digits."""
    changed = False
    for values in pairs:
        is_computed = any(is_inexact(value) or VALUE in without_parens(value).meta for value in values)
        if not is_computed or common_type(values) != NUMERIC:
            continue
        changed = True
        for value in values:
            if not isinstance(without_parens(value), exp.Null):
                value.replace(_key(value))
    return changed


def _bounds(node: exp.Between) -> Sequence[exp.Expr]:
    """BETWEEN as two comparisons, where one of its numbers is computed."""
    operands = [node.args[name] for name in ("this", "low", "high")]
    if not any(map(is_inexact, operands)) or common_type(operands) != NUMERIC:
        return [node]
    value, low, high = operands
    range_ = exp.And(
        this=exp.GTE(this=value.copy(), expression=low.copy()),
        expression=exp.LTE(this=value.copy(), expression=high.copy()),
    )
    node.replace(exp.Paren(this=range_))
    return [range_.this, range_.expression]


def _is_quantified(node: exp.Expr) -> bool:
    return isinstance(node, (exp.Any, exp.All)) or anonymous_name(node) == "ALL"


def _orders_freely(ordered: exp.Ordered) -> bool:
    """Whether rows may be in the order of other values than these: not those of DISTINCT, nor in RANGE."""
    clause = ordered.parent.parent if ordered.parent is not None else None
    if isinstance(clause, exp.Select):
        return not removes_equal(clause)
    if isinstance(clause, exp.Window):
        spec = clause.args.get("spec")
        return spec is None or str(spec.args.get("kind", "")).upper() != "RANGE"
    return isinstance(clause, exp.AggFunc)


_ABSORBING: Final = (*OPERATIONS, exp.Log)


def _absorbs(parent: exp.Expr, side: exp.Expr) -> bool:
    """Whether a number is written by what is computed of it."""
    if isinstance(parent, exp.Distinct) and len(parent.expressions) == 1 and parent.parent is not None:
        side, parent = parent, parent.parent
    if isinstance(parent, exp.Ordered) and parent.parent is not None:
        outer = parent.parent.parent
        return isinstance(outer, exp.WithinGroup) and _is_taken_apart(outer)
    if isinstance(parent, exp.If) and isinstance(parent.parent, exp.Case) and side.arg_key == "true":
        return is_inexact(parent.parent)
    if KEY in parent.meta or number_type(parent) != NUMERIC:
        return False
    if isinstance(parent, exp.Case):
        return side.arg_key == "default" and is_inexact(parent)
    if isinstance(parent, (*CHOICES, *_ABSORBING)) or called_operation(parent):
        return is_inexact(parent)
    if isinstance(parent, (exp.Round, exp.Trunc)):
        return side.arg_key == "this" and is_inexact(parent)
    if isinstance(parent, exp.Cast):
        return parent.to.this == NUMERIC and is_inexact(parent)
    return side.arg_key == "this" and _is_taken_apart(parent)


def _is_taken_apart(aggregate: exp.Expr) -> bool:
    """Whether an aggregate is computed from the digits of its numbers."""
    outermost = aggregate
    while isinstance(outermost.parent, (exp.Filter, exp.Window)) and outermost.arg_key == "this":
        outermost = outermost.parent
    if not takes_apart(outermost):
        return False
    if not isinstance(outermost, exp.Window) or isinstance(aggregate, (exp.Max, exp.Min, *NEIGHBOURS)):
        return True
    if isinstance(aggregate, SPREADS):
        return True
    argument = argument_of(aggregate) if isinstance(aggregate, (exp.Sum, exp.Avg)) else None
    return argument is not None and fixed_value(argument) is not None
