"""Types of columns: the names of PostgreSQL and pgvector for Milvus's types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.parse.source import SourceText
from nestvec.sqltypes import SqlType, sql_type_of, storage
from nestvec.sqltypes.kinds import BFLOAT16, MAX_DIGITS
from nestvec_schemas.errors import nearest

MAX_LENGTH: Final = 65_535
"""Bytes of a VARCHAR in Milvus."""

MAX_CAPACITY: Final = 4_096
"""Elements of an ARRAY in Milvus."""

_TYPE = exp.DType
_SPARSE: Final = "SPARSE_FLOAT_VECTOR"
_SCALARS: dict[exp.DType, str] = {
    _TYPE.BOOLEAN: "BOOL",
    _TYPE.SMALLINT: "INT16",
    _TYPE.INT: "INT32",
    _TYPE.BIGINT: "INT64",
    _TYPE.BIGSERIAL: "INT64",
    _TYPE.SERIAL: "INT64",
    _TYPE.SMALLSERIAL: "INT64",
    _TYPE.FLOAT: "FLOAT",
    _TYPE.DOUBLE: "DOUBLE",
    _TYPE.JSON: "JSON",
    _TYPE.JSONB: "JSON",
}
_MAPPED: Final[dict[exp.DType, str]] = {
    _TYPE.DATE: "date",
    _TYPE.TIME: "time",
    _TYPE.TIMESTAMP: "timestamp",
    _TYPE.TIMESTAMPNTZ: "timestamp",
    _TYPE.TIMESTAMPTZ: "timestamptz",
    _TYPE.UUID: "uuid",
    _TYPE.VARBINARY: "bytea",
}
"""Types that Milvus does not have and that are stored by a mapping."""

_WITH_FRACTION: Final = (_TYPE.TIME, _TYPE.TIMESTAMP, _TYPE.TIMESTAMPNTZ, _TYPE.TIMESTAMPTZ)
_MICROSECOND_DIGITS: Final = 6

_ALTERNATIVES: dict[exp.DType, str] = {
    _TYPE.CHAR: "Use VARCHAR(n): Milvus does not pad strings.",
    _TYPE.BPCHAR: "Use VARCHAR(n): Milvus does not pad strings.",
    _TYPE.INTERVAL: "Use BIGINT, in microseconds.",
    _TYPE.TIMETZ: "Use TIME, or TIMESTAMPTZ.",
}
_TYPE_NAMES = (
    *("BIGINT", "INT", "SMALLINT", "BOOLEAN", "REAL", "DOUBLE PRECISION", "NUMERIC", "VARCHAR", "TEXT"),
    *("DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "UUID", "BYTEA", "JSONB", "BIGSERIAL"),
    *("VECTOR", "HALFVEC", "BFLOAT16_VECTOR", "BIT", "SPARSEVEC"),
)
_SQL_NAMES = {
    "BOOL": "BOOLEAN",
    "INT8": "TINYINT",
    "INT16": "SMALLINT",
    "INT32": "INT",
    "INT64": "BIGINT",
    "FLOAT": "REAL",
    "DOUBLE": "DOUBLE PRECISION",
    "JSON": "JSONB",
    "FLOAT_VECTOR": "VECTOR",
    "SPARSE_FLOAT_VECTOR": "SPARSEVEC",
    "BINARY_VECTOR": "BIT",
    "FLOAT16_VECTOR": "HALFVEC",
}
_MAPPED_NAMES = {"int2": "SMALLINT", "int4": "INT"}
_SERIALS: Final = (_TYPE.SERIAL, _TYPE.BIGSERIAL, _TYPE.SMALLSERIAL)


@dataclass(frozen=True)
class ColumnType:
    """A type of Milvus."""

    name: str
    length: int | None = None
    """The length of a VARCHAR, or of the elements of an ARRAY, in bytes."""
    dim: int | None = None
    element: str | None = None
    """The type of the elements of an ARRAY."""

    sql: SqlType | None = None
    """The SQL type that this type stores by a mapping."""


def mapped_type(kind: SqlType) -> ColumnType:
    """The type of Milvus that stores a SQL type."""
    name, length = storage(kind)
    dim = kind.sizes[0] if name in ("FLOAT16_VECTOR", "BFLOAT16_VECTOR", "BINARY_VECTOR") else None
    if name == "BINARY_VECTOR" and dim is not None:
        # Milvus stores whole bytes; zeros at the end change no distance.
        dim = -(-dim // 8) * 8
    return ColumnType(name, length, dim=dim, sql=kind)


def is_serial(node: exp.Expr | None) -> bool:
    """Whether a type is SERIAL, BIGSERIAL or SMALLSERIAL: Milvus generates 64-bit ids for all of them."""
    return isinstance(node, exp.DataType) and node.this in _SERIALS


def bind_type(source: SourceText, node: exp.Expr, position: int) -> ColumnType:
    """The type at an offset. Raises SqlTypeMismatch, SqlNotSupported, SqlUnknownName."""
    if not isinstance(node, exp.DataType):
        raise source.not_supported("this type", position, f"Available: {', '.join(_TYPE_NAMES)}.")
    kind = node.this
    binder = _BINDERS.get(kind)
    if binder is not None:
        return binder(source, node, position)
    if kind == _TYPE.USERDEFINED:
        return _user_defined(source, node, position)
    if kind in _MAPPED:
        return mapped_type(SqlType(_MAPPED[kind], _fraction_digits(source, node, position)))
    if kind not in _SCALARS:
        name = _token_text(source, position)
        raise source.not_supported(
            f"the type {name.upper()}",
            position,
            _ALTERNATIVES.get(kind, f"Available: {', '.join(_TYPE_NAMES)}."),
        )
    if node.expressions:
        raise source.not_supported(
            f"{_token_text(source, position).upper()} with a size", position, "Remove the size."
        )
    return ColumnType(_SCALARS[kind])


def type_sql(column: Column) -> str:
    """The type of a column in the notation of ``bind_type``, or of pgvector."""
    sql_type = sql_type_of(column)
    if sql_type is not None:
        name = _MAPPED_NAMES.get(sql_type.name)
        return str(sql_type).upper() if name is None else name
    if column.type == "ARRAY":
        return f"{_scalar(column.type_params.element_type or '?', column.max_length)}[]"
    if column.type == "INT64" and column.auto_id:
        return "BIGSERIAL"
    if column.dim is not None:
        return f"{_SQL_NAMES.get(column.type, column.type)}({column.dim})"
    return _scalar(column.type, column.max_length)


def type_name(bound: ColumnType) -> str:
    """PostgreSQL's name of a type of Milvus, without its size."""
    return _SQL_NAMES.get(bound.name, bound.name)


def _scalar(name: str, length: int | None) -> str:
    if name == "VARCHAR":
        return "TEXT" if length in (None, MAX_LENGTH) else f"VARCHAR({length})"
    return _SQL_NAMES.get(name, name)


def _text(source: SourceText, node: exp.DataType, position: int) -> ColumnType:
    sizes = _sizes(source, node, position)
    length = sizes[0] if sizes else MAX_LENGTH
    if not 1 <= length <= MAX_LENGTH:
        raise source.type_mismatch(
            "the VARCHAR length is out of range",
            length,
            position,
            f"Use 1 to {MAX_LENGTH} bytes.",
        )
    return ColumnType("VARCHAR", length)


def _vector(source: SourceText, node: exp.DataType, position: int) -> ColumnType:
    return ColumnType("FLOAT_VECTOR", dim=_dim(source, node, position, "VECTOR"))


def _dim(source: SourceText, node: exp.DataType, position: int, name: str) -> int:
    sizes = _sizes(source, node, position)
    if not sizes:
        raise source.syntax_error(f"{name} needs a dim", position, f"Write {name}(384).")
    if not 2 <= sizes[0] <= 32_768:
        raise source.type_mismatch("the vector dim is out of range", sizes[0], position, "Use 2 to 32768.")
    return sizes[0]


def _array(source: SourceText, node: exp.DataType, position: int) -> ColumnType:
    inner = bind_type(source, node.expressions[0], position)
    if inner.name in ("ARRAY", "JSON") or inner.name.endswith("_VECTOR"):
        raise source.not_supported(
            "an array of arrays, vectors or JSON values", position, "Use a JSONB column."
        )
    if node.args.get("values"):
        raise source.not_supported("an array with a size", position, "Write [] after the element type.")
    array = replace(inner.sql, array=True) if inner.sql is not None else None
    return ColumnType("ARRAY", inner.length, element=inner.name, sql=array)


def _numeric(source: SourceText, node: exp.DataType, position: int) -> ColumnType:
    sizes = _sizes(source, node, position, 2)
    precision, scale = (*sizes, 0, 0)[:2]
    if sizes and not (1 <= precision <= MAX_DIGITS and scale <= precision):
        raise source.type_mismatch(
            "the precision or the scale of NUMERIC is out of range",
            f"{precision},{scale}",
            position,
            f"Use NUMERIC(p, s) with p up to {MAX_DIGITS} and s up to p.",
        )
    return mapped_type(SqlType("numeric", (precision, scale) if sizes else ()))


def _fraction_digits(source: SourceText, node: exp.DataType, position: int) -> tuple[int, ...]:
    """The digits of seconds of TIMESTAMP(3); empty for all six."""
    sizes = _sizes(source, node, position) if node.this in _WITH_FRACTION else []
    if node.expressions and not sizes:
        raise source.not_supported("a size of this type", position, "Remove the size.")
    return tuple(size for size in sizes if size < _MICROSECOND_DIGITS)


def _bit(source: SourceText, node: exp.DataType, position: int) -> ColumnType:
    sizes = _sizes(source, node, position)
    if not sizes or not 2 <= sizes[0] <= 262_144:
        raise source.type_mismatch(
            "the number of bits is out of range",
            sizes[0] if sizes else "none",
            position,
            "Write BIT(n), with n from 2 to 262144.",
        )
    return mapped_type(SqlType("bit", (sizes[0],)))


def _user_defined(source: SourceText, node: exp.DataType, position: int) -> ColumnType:
    kind = node.args.get("kind")
    name = str(kind.this if isinstance(kind, exp.Identifier) else kind or "")
    if name.upper() == "SPARSEVEC":
        sizes = _sizes(source, node, position)
        return mapped_type(SqlType("sparsevec", (sizes[0],))) if sizes else ColumnType(_SPARSE)
    if name.upper() == "HALFVEC":
        return mapped_type(SqlType("halfvec", (_dim(source, node, position, "HALFVEC"),)))
    if name.lower() == BFLOAT16:
        return mapped_type(SqlType(BFLOAT16, (_dim(source, node, position, name.upper()),)))
    raise source.unknown_name(
        "there is no such type",
        name,
        position,
        f"Available: {', '.join(_TYPE_NAMES)}.{nearest(name.upper(), _TYPE_NAMES)}",
    )


def _sizes(source: SourceText, node: exp.DataType, position: int, most: int = 1) -> list[int]:
    sizes = []
    for parameter in node.expressions:
        value = parameter.this if isinstance(parameter, exp.DataTypeParam) else parameter
        if not isinstance(value, exp.Literal) or value.is_string or not str(value.this).isdecimal():
            raise source.type_mismatch("a size is an integer", value.sql()[:40], value, "Write an integer.")
        sizes.append(int(str(value.this)[:12]))
    if len(sizes) > most:
        expected = "one size" if most == 1 else "two sizes"
        raise source.syntax_error(f"this type takes {expected}", position, "Write fewer numbers.")
    return sizes


def _token_text(source: SourceText, position: int) -> str:
    return next((token.text for token in source.tokens if token.start == position), "of this name")


_BINDERS: dict[exp.DType, Callable[[SourceText, exp.DataType, int], ColumnType]] = {
    _TYPE.VARCHAR: _text,
    _TYPE.TEXT: _text,
    _TYPE.VECTOR: _vector,
    _TYPE.ARRAY: _array,
    _TYPE.DECIMAL: _numeric,
    _TYPE.BIT: _bit,
}
