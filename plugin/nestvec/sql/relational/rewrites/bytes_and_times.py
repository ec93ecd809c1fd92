"""BYTEA, and casts to it and to timestamps with fewer digits: DuckDB writes and rounds them otherwise."""

from __future__ import annotations

from sqlglot import exp

from nestvec.sql.relational.rewrites.datetime_texts import datetime_of_text
from nestvec.sql.relational.rewrites.nodes import TEXT_TYPES, call, is_text_constant, kind
from nestvec.sqltypes.values import bytea_bytes
from nestvec_schemas.errors import SqlNotSupported

BINARY_TYPES = {exp.DType.BINARY, exp.DType.VARBINARY, exp.DType.BLOB}
BLANK_PADDED_TYPES = (exp.DType.CHAR, exp.DType.BPCHAR, exp.DType.NCHAR)
TIMESTAMPS = {exp.DType.TIMESTAMP, exp.DType.TIMESTAMPNTZ, exp.DType.TIMESTAMPTZ}


def rewrite_bytes_or_time(node: exp.Cast) -> exp.Expr | None:
    """The cast in DuckDB's terms; None if it is neither of bytes nor of a timestamp with a size.

    Raises RowRejected for a constant that is no bytea.
    """
    to = node.args["to"]
    if to.this in BINARY_TYPES and is_text_constant(node.this):
        return bytea_constant(node.this)
    if to.this in TEXT_TYPES and kind(node.this) in BINARY_TYPES:
        return exp.DPipe(this=exp.Literal.string("\\x"), expression=call("lower", call("hex", node.this)))
    if to.this == exp.DType.TIME and kind(node.this) in TIMESTAMPS:
        # DuckDB has only casts to a time with a zone; the clock is that of the session in both.
        node.set("this", exp.cast(node.this.copy(), "timestamp"))
        return node
    if to.this == exp.DType.TIME and to.expressions and to.expressions[0].this.name in "012345":
        clock = datetime_of_text(node.this, to.this) if kind(node.this) in TEXT_TYPES else node.this
        return call("pg_round_time", clock, exp.Literal.number(10 ** (6 - int(to.expressions[0].this.name))))
    if to.this == exp.DType.INTERVAL and kind(node.this) == exp.DType.TIME:
        return call("to_microseconds", call("epoch_us", node.this))
    if to.this in TIMESTAMPS and to.expressions and str(to.expressions[0].this.name).isdecimal():
        return _rounded_timestamp(node, int(to.expressions[0].this.name))
    return None


def bytea_constant(node: exp.Expr) -> exp.Expr:
    """A constant in quotes as bytes. Raises RowRejected if it is no bytea."""
    return call("unhex", exp.Literal.string(bytea_bytes(str(node.this)).hex()))


def bytes_length(node: exp.Length) -> exp.Expr:
    """``length(bytes)``, which DuckDB has for texts alone."""
    return call("pg_bytes_length", node.this) if kind(node.this) in BINARY_TYPES else node


def octets(node: exp.Anonymous) -> exp.Expr:
    """``octet_length(bytes)``, and that of a CHAR(n), in which its blanks count."""
    value = node.expressions[0] if len(node.expressions) == 1 else None
    if value is None:
        return node
    if kind(value) in BINARY_TYPES:
        return call("pg_bytes_length", value)
    size = value.type.expressions if value.type and kind(value) in BLANK_PADDED_TYPES else []
    if size and isinstance(size[0].this, exp.Literal):
        node.set("expressions", [call("rpad", value, size[0].this.copy(), exp.Literal.string(" "))])
    return node


def encoded(node: exp.Encode) -> exp.Expr:
    """``encode(bytes, 'hex')``. Raises SqlNotSupported for another encoding."""
    _check_hex(node, "encode")
    return call("lower", call("hex", node.this))


def decoded(node: exp.Decode) -> exp.Expr:
    """``decode(text, 'hex')``. Raises SqlNotSupported for another encoding."""
    _check_hex(node, "decode")
    return call("unhex", node.this)


def _check_hex(node: exp.Expr, function: str) -> None:
    charset = node.args["charset"]
    if charset.name.lower() == "hex":
        return
    encoding = f"the encoding '{charset.name[:40]}'" if is_text_constant(charset) else "a computed encoding"
    raise SqlNotSupported(f"{encoding} of {function}() is not supported", next_step="Write 'hex'.")


def _rounded_timestamp(node: exp.Cast, digits: int) -> exp.Expr:
    """A timestamp with these digits of seconds; DuckDB cuts it to one of its own precisions."""
    to = node.args["to"].this
    if kind(node.this) in TEXT_TYPES:
        moment = datetime_of_text(node.this, to)
    else:
        moment = exp.cast(node.this.copy(), exp.DataType(this=to, nested=False))
    if digits >= 6:
        return moment
    unit = 10 ** (6 - digits)
    # PostgreSQL counts from 2000, and rounds halves away from it.
    since = exp.GTE(this=moment.copy(), expression=exp.Literal.string("2000-01-01"))
    half, below = exp.Literal.number(unit // 2), exp.Literal.number(unit // 2 - 1)
    added = call("to_microseconds", exp.Case(ifs=[exp.If(this=since, true=half)], default=below))
    return call("time_bucket", call("to_microseconds", exp.Literal.number(unit)), moment + added)
