"""Arithmetic: division, promotion of small numbers, rounding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.bytes_and_times import TIMESTAMPS
from nestvec.sql.relational.rewrites.casts import numeric_constant
from nestvec.sql.relational.rewrites.datetime_texts import DATETIME_TYPES, datetime_of_text
from nestvec.sql.relational.rewrites.nodes import (
    FLOAT_TYPES,
    INTEGERS,
    call,
    is_text_constant,
    kind,
)


def quotient(node: exp.Div) -> exp.Expr:
    left = _widened(_numeric(node.this, node.expression), node.expression)
    right = _widened(_numeric(node.expression, node.this), node.this)
    both_integers = kind(node.this) in INTEGERS and kind(node.expression) in INTEGERS
    is_float = kind(node.this) in FLOAT_TYPES
    name = "pg_integer_quotient" if both_integers else "pg_float_quotient" if is_float else "pg_quotient"
    divided = call(name, left, right)
    return _in_range(node, divided)


def remainder(node: exp.Mod) -> exp.Expr:
    return call("pg_remainder", _numeric(node.this, node.expression), _numeric(node.expression, node.this))


_MOMENT_AND_INTERVAL: Final = {exp.DType.TIMESTAMPTZ, exp.DType.INTERVAL}


def arithmetic(node: exp.Binary) -> exp.Expr:
    left, right = node.this, node.expression
    if isinstance(node, exp.Sub) and kind(left) in DATETIME_TYPES and is_text_constant(right):
        node.set("expression", datetime_of_text(right, kind(left)))
        return node
    if isinstance(node, (exp.Add, exp.Sub)) and {kind(left), kind(right)} == _MOMENT_AND_INTERVAL:
        return _moved_moment(node)
    if isinstance(node, (exp.Add, exp.Sub)) and exp.DType.TIME in (kind(left), kind(right)):
        return _moved_by_time(node)
    for side, other, name in ((left, right, "this"), (right, left, "expression")):
        if kind(other) == exp.DType.DATE and kind(side) in INTEGERS and not isinstance(side, exp.Literal):
            node.set(name, exp.cast(side.copy(), "int"))
            continue
        converted = _widened(_numeric(side, other), other)
        if converted is not side:
            node.set(name, converted)
    return _in_range(node, node)


def _moved_by_time(node: exp.Binary) -> exp.Expr:
    """A timestamp or a day moved by a TIME, and the difference of two: DuckDB has date + time alone."""
    left, right = node.this, node.expression
    kinds = (kind(left), kind(right))
    if isinstance(node, exp.Sub) and kinds == (exp.DType.TIME, exp.DType.TIME):
        difference = exp.Sub(this=call("epoch_us", left), expression=call("epoch_us", right))
        return call("to_microseconds", difference)
    moment, name = (right, "this") if kinds[0] == exp.DType.TIME else (left, "expression")
    if kind(moment) in TIMESTAMPS or (kind(moment) == exp.DType.DATE and isinstance(node, exp.Sub)):
        node.set(name, call("to_microseconds", call("epoch_us", node.args[name])))
    return node


def _moved_moment(node: exp.Binary) -> exp.Expr:
    """A TIMESTAMPTZ with an interval: months first, then days, which DuckDB turns round at times."""
    moment, interval = node.this, node.expression
    if kind(moment) == exp.DType.INTERVAL:
        moment, interval = interval, moment
    if isinstance(interval, exp.Interval):
        # It has one unit alone.
        return node
    return call("pg_later" if isinstance(node, exp.Add) else "pg_earlier", moment, interval)


_OPERATIONS: Final = (exp.Add, exp.Sub, exp.Mul, exp.Div)


def _in_range(node: exp.Binary, rewritten: exp.Expr) -> exp.Expr:
    """Floating-point arithmetic that is an error where it overflows, as DuckDB's is not.

    The outermost operation checks for all within it, if they compute with columns and constants alone.
    """
    parent = node.parent
    while isinstance(parent, (exp.Paren, exp.Neg)):
        parent = parent.parent
    if kind(node) not in FLOAT_TYPES or isinstance(parent, _OPERATIONS) or type(node) not in _OPERATIONS:
        return rewritten
    operands = list(_operands(rewritten))
    if not all(isinstance(_uncast(operand), (exp.Column, exp.Literal)) for operand in operands):
        return rewritten
    infinite = [call("isinf", operand) for operand in operands if kind(operand) in FLOAT_TYPES]
    overflowed: exp.Expr = exp.or_(*infinite) if infinite else exp.false()
    return call("pg_in_range", rewritten, overflowed)


def _operands(node: exp.Expr) -> Iterator[exp.Expr]:
    """What arithmetic computes with: columns, constants, and anything else."""
    if isinstance(node, (*_OPERATIONS, exp.Anonymous)) and (
        not isinstance(node, exp.Anonymous) or node.name in ("pg_quotient", "pg_float_quotient")
    ):
        for part in node.iter_expressions():
            yield from _operands(part)
    elif isinstance(node, (exp.Paren, exp.Neg)):
        yield from _operands(node.this)
    else:
        yield node


def _uncast(node: exp.Expr) -> exp.Expr:
    return node.this if isinstance(node, exp.Cast) else node


def _widened(node: exp.Expr, other: exp.Expr) -> exp.Expr:
    """A small number as PostgreSQL promotes it beside another."""
    own, type_ = kind(node), kind(other)
    if is_text_constant(other):
        return node
    if own == exp.DType.FLOAT and type_ not in (None, exp.DType.FLOAT):
        return exp.cast(node.copy(), "double")
    if own in (exp.DType.TINYINT, exp.DType.SMALLINT) and _is_constant(other):
        return exp.cast(node.copy(), "int")
    return node


def _is_constant(node: exp.Expr) -> bool:
    while isinstance(node, (exp.Paren, exp.Neg)):
        node = node.this
    return isinstance(node, exp.Literal)


def _numeric(node: exp.Expr, other: exp.Expr) -> exp.Expr:
    """A string constant beside a number, as that number: '5' + 1."""
    if not is_text_constant(node) or kind(other) is None:
        return node
    other_kind = kind(other)
    if other_kind in INTEGERS or other_kind in FLOAT_TYPES:
        return exp.cast(node.copy(), exp.DataType(this=other_kind))
    return numeric_constant(node) if other_kind == exp.DType.DECIMAL else node


def rewrite_round(node: exp.Round) -> exp.Expr:
    if node.args.get("decimals") is None and kind(node.this) in FLOAT_TYPES:
        return call("round_even", node.this, exp.Literal.number(0))
    return node


def div_quotient(node: exp.IntDiv) -> exp.Expr:
    return exp.cast(call("trunc", call("pg_quotient", node.this, node.expression)), "double")


def rewrite_power(node: exp.Pow) -> exp.Expr:
    return call("pg_power", node.this, node.expression)


def rewrite_exp(node: exp.Exp) -> exp.Expr:
    """``exp(x)`` that is an error where it overflows; of infinity, it is infinite."""
    return call("pg_exp", node.this)


_BITS: Final = (exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT)


def shifted(node: exp.BitwiseLeftShift | exp.BitwiseRightShift) -> exp.Expr:
    """Shifts as processors have them: of a distance modulo the bits, and bits beyond the type are lost."""
    number, distance = node.this, node.expression
    if number.find(exp.BitString) is not None or kind(number) == exp.DType.BIT:
        return node
    type_ = kind(number) if kind(number) in _BITS else exp.DType.BIGINT
    # DuckDB's 1 & smallint is a SMALLINT, which has fewer bits than PostgreSQL's integer.
    number = exp.cast(number, type_)
    if isinstance(node, exp.BitwiseRightShift) and type_ != exp.DType.SMALLINT:
        return call("pg_shift_right", number, distance)
    name = "pg_shift_right" if isinstance(node, exp.BitwiseRightShift) else "pg_shift_left"
    result = exp.cast(call(name, number, distance), type_)
    result.type = result.to
    return result
