"""BYTEA, and casts to it and to timestamps with fewer digits: DuckDB writes and rounds them otherwise."""

from __future__ import annotations

from sqlglot import exp

from nestvec.sql.relational.rewrites.datetime_texts import datetime_of_text
from nestvec.sql.relational.rewrites.nodes import TEXT_TYPES, Rule, call, is_text_constant, kind
from nestvec.sqltypes.values import bytea_bytes
from nestvec_schemas.errors import SqlNotSupported, SqlTypeMismatch

BINARY_TYPES = {exp.DType.BINARY, exp.DType.VARBINARY, exp.DType.BLOB}
BLANK_PADDED_TYPES = (exp.DType.CHAR, exp.DType.BPCHAR, exp.DType.NCHAR)
TIMESTAMPS = {exp.DType.TIMESTAMP, exp.DType.TIMESTAMPNTZ, exp.DType.TIMESTAMPTZ}


def rewrite_bytes_or_time(node: exp.Cast) -> exp.Expr | None:
    """The cast in DuckDB's terms; None if it is neither of bytes nor of a timestamp with a size.

    Raises RowRejected for a constant that is no bytea.
    """
    to = node.args["to"]
    if to.this in BINARY_TYPES and is_text_constant(node.this.unnest()):
        return bytea_constant(node.this.unnest())
    if to.this in BINARY_TYPES and (
        kind(node.this) in TEXT_TYPES or isinstance(node.this.unnest(), (exp.UnicodeString, exp.ByteString))
    ):
        return call("pg_bytea", node.this)
    if to.this in TEXT_TYPES and kind(node.this) in BINARY_TYPES:
        return hex_text(node.this)
    if to.this == exp.DType.TIME and kind(node.this) in TIMESTAMPS:
        # DuckDB has only casts to a time with a zone; the clock is that of the session in both.
        node.set("this", exp.cast(node.this.copy(), "timestamp"))
        return node
    if to.this == exp.DType.TIME and to.expressions and to.expressions[0].this.name in "012345":
        clock = datetime_of_text(node.this, to.this) if kind(node.this) in TEXT_TYPES else node.this
        return call("pg_round_time", clock, exp.Literal.number(10 ** (6 - int(to.expressions[0].this.name))))
    if to.this == exp.DType.TIME and kind(node.this) == exp.DType.INTERVAL:
        return call("pg_interval_time", node.this)
    if to.this == exp.DType.INTERVAL and kind(node.this) == exp.DType.TIME:
        return call("to_microseconds", call("epoch_us", node.this))
    if to.this in TIMESTAMPS and to.expressions and str(to.expressions[0].this.name).isdecimal():
        return _rounded_timestamp(node, int(to.expressions[0].this.name))
    return None


def hex_text(node: exp.Expr) -> exp.Expr:
    """Bytes as PostgreSQL writes them."""
    digits = call("lower", call("hex", node))
    return exp.paren(exp.DPipe(this=exp.Literal.string("\\x"), expression=digits))


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
    """``encode(bytes, encoding)``. Raises SqlNotSupported for one that is no constant."""
    encoding = _encoding(node, "encode")
    data = bytes_of(node.this)
    if encoding == "hex":
        return call("lower", call("hex", data))
    return call("pg_encode", data, exp.Literal.string(encoding))


def decoded(node: exp.Decode) -> exp.Expr:
    """``decode(text, encoding)``. Raises SqlNotSupported for one that is no constant."""
    encoding = _encoding(node, "decode")
    if encoding == "hex":
        return call("unhex", node.this)
    return call("pg_decode", node.this, exp.Literal.string(encoding))


def _encoding(node: exp.Expr, function: str) -> str:
    charset = node.args["charset"]
    name = str(charset.name).lower() if is_text_constant(charset) else ""
    if name in ("hex", "base64", "escape"):
        return name
    encoding = f"the encoding '{charset.name[:40]}'" if name else "a computed encoding"
    raise SqlNotSupported(
        f"{encoding} of {function}() is not supported", next_step="Write 'hex', 'base64' or 'escape'."
    )


def bytes_of(node: exp.Expr) -> exp.Expr:
    """A value as bytes: a constant in quotes is read as BYTEA."""
    return bytea_constant(node) if is_text_constant(node) else node


def sha256(node: exp.SHA2Digest) -> exp.Expr:
    """``sha256(bytes)`` and ``sha512(bytes)``."""
    return _digest(node.this, str(node.args["length"].name if node.args.get("length") else 256))


def digest_by(length: str) -> Rule:
    """``sha224(bytes)`` and ``sha384(bytes)``."""
    return lambda node: _digest(node.expressions[0], length)


def _digest(data: exp.Expr, length: str) -> exp.Expr:
    if not is_text_constant(data) and kind(data) in TEXT_TYPES:
        raise SqlTypeMismatch(f"sha{length}() takes BYTEA", next_step="Write convert_to(text, 'UTF8').")
    return call("pg_digest", bytes_of(data), exp.Literal.string(f"sha{length}"))


def text_of_bytes(node: exp.Anonymous) -> exp.Expr:
    """``convert_from(bytes, 'UTF8')``."""
    _check_utf8(node)
    return call("decode", bytes_of(node.expressions[0]))


def bytes_of_text(node: exp.Anonymous) -> exp.Expr:
    """``convert_to(text, 'UTF8')``."""
    _check_utf8(node)
    return call("encode", node.expressions[0])


def _check_utf8(node: exp.Anonymous) -> None:
    if node.expressions[1].name.upper() not in ("UTF8", "UTF-8"):
        raise SqlNotSupported(
            f"{node.name.lower()}() of another encoding is not supported", next_step="Write 'UTF8'."
        )


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
