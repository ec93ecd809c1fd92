"""Functions of PostgreSQL that DuckDB computes otherwise for some arguments."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.bytes_and_times import BINARY_TYPES
from nestvec.sql.relational.rewrites.nodes import (
    FLOAT_TYPES,
    INTEGERS,
    TEXT_TYPES,
    call,
    is_text_constant,
    kind,
)
from nestvec_schemas.errors import SqlNotSupported, SqlTypeMismatch

_BIT: Final = exp.DataType.build("bit", dialect="duckdb", udt=True)
_BIT_MASK: Final = (1 << 32) - 1
_NO_BITS: Final = {*FLOAT_TYPES, exp.DType.DECIMAL, exp.DType.BOOLEAN}
"""Types that are not cast to bits; DuckDB has an error for some of them."""


def to_hex(node: exp.Expr) -> exp.Expr:
    """``to_hex(-7)`` has the digits of 32 bits, unless the number is a bigint."""
    number = node.this
    if kind(number) in TEXT_TYPES or isinstance(number.unnest(), exp.Null):
        raise SqlTypeMismatch("to_hex() takes an integer", next_step="Cast the argument to int.")
    if kind(number) in INTEGERS and kind(number) != exp.DType.BIGINT:
        wide = exp.cast(number.copy(), "bigint")
        number = exp.BitwiseAnd(this=wide, expression=exp.Literal.number(_BIT_MASK))
    return call("lower", call("to_hex", number))


def width_bucket(node: exp.WidthBucket) -> exp.Expr:
    """The bucket of a number, exact unless one of the three is a double."""
    if node.args.get("threshold") is not None:
        return call("pg_bucket_of", node.this, node.args["threshold"])
    numbers = (node.this, node.args["min_value"], node.args["max_value"])
    doubles = any(kind(number) in FLOAT_TYPES for number in numbers)
    return call("pg_bucket" if doubles else "pg_exact_bucket", *numbers, node.args["num_buckets"])


def overlay(node: exp.Overlay) -> exp.Expr:
    """``overlay(t PLACING r FROM 2 FOR 3)``."""
    _check_no_bytes(node, "overlay")
    text, replacement = node.this, node.expression
    count = node.args.get("for_") or call("length", replacement)
    return call("pg_overlay", text, replacement, node.args["from_"], count)


def trim(node: exp.Trim) -> exp.Expr:
    """Texts alone: DuckDB would trim the printed form of bytes."""
    return _check_no_bytes(node, "trim")


def bit_length(node: exp.BitLength) -> exp.Expr:
    """Eight times the bytes, of BIT the bits."""
    if kind(node.this) in BINARY_TYPES:
        return exp.Mul(this=call("pg_bytes_length", node.this), expression=exp.Literal.number(8))
    return node


def bits(node: exp.BitString) -> exp.Expr:
    """``B'101'``, which sqlglot writes as the number 5. Raises SqlNotSupported for no bits."""
    _check_bits(node)
    return exp.Cast(
        this=exp.Literal.string(str(node.this)), to=exp.DataType.build("bit", dialect="duckdb", udt=True)
    )


def sized_bits(node: exp.Cast) -> exp.Expr:
    """A cast to ``bit(n)``: of a number its last n bits, of bits the first n, filled with zeros."""
    to, from_type = node.args["to"], kind(node.this)
    number = from_type in INTEGERS and from_type != exp.DType.BIT
    size = to.expressions[0].this if to.expressions else exp.Literal.number(1)
    if number:
        return call("pg_number_bits", node.this, size)
    return node if from_type in _NO_BITS else call("pg_sized_bits", node.this, size)


def varying_bits(node: exp.Cast) -> exp.Expr:
    """A cast to ``bit varying(n)``: the first n bits."""
    to, from_type = node.args["to"], kind(node.this)
    if is_text_constant(node.this):
        _check_bits(node.this)
    if from_type in {*INTEGERS, *_NO_BITS} - {exp.DType.BIT}:
        raise SqlTypeMismatch("a number cannot be cast to bit varying", next_step="Cast it to bit(n) first.")
    text: exp.Expr = exp.Cast(
        this=exp.Cast(this=node.this.copy(), to=_BIT.copy()), to=exp.DataType.build("text")
    )
    if to.expressions:
        text = call("left", text, to.expressions[0].this)
    result = exp.Cast(this=text, to=_BIT.copy())
    result.type = exp.DataType(this=exp.DType.BIT)
    return result


def repeat(node: exp.Repeat) -> exp.Expr:
    """At most a mebibyte: DuckDB would take memory without a limit."""
    return call("pg_repeat", node.this, node.args["times"])


def series(node: exp.Expr) -> exp.Expr:
    """A series of integers as a list has an end, too."""
    low, high, step = node.args["start"], node.args["end"], node.args.get("step")
    if all(kind(bound) in INTEGERS for bound in (low, high)) and not isinstance(
        node.parent, (exp.Table, exp.From)
    ):
        node.set("end", call("pg_series_end", low, high, step or exp.Literal.number(1)))
    return node


def _check_bits(node: exp.Expr) -> None:
    if not str(node.this):
        raise SqlNotSupported("a string of no bits is not supported", next_step="Write NULL for it.")


def _check_no_bytes(node: exp.Expr, name: str) -> exp.Expr:
    if any(kind(part) in BINARY_TYPES for part in node.iter_expressions()):
        raise SqlNotSupported(
            f"{name}() of BYTEA is not supported", next_step="Read the bytes, or encode(…, 'hex')."
        )
    return node
