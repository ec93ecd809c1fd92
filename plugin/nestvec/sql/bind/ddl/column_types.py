"""Types of columns: the names of PostgreSQL and pgvector for Milvus's types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.parse.source import SourceText
from nestvec_schemas.errors import nearest

MAX_LENGTH: Final = 65_535
"""Bytes of a VARCHAR in Milvus."""

MAX_CAPACITY: Final = 4_096
"""Elements of an ARRAY in Milvus."""

_TYPE = exp.DType
_SCALARS: dict[exp.DType, str] = {
    _TYPE.BOOLEAN: "BOOL",
    _TYPE.SMALLINT: "INT16",
    _TYPE.INT: "INT32",
    _TYPE.BIGINT: "INT64",
    _TYPE.BIGSERIAL: "INT64",
    _TYPE.FLOAT: "FLOAT",
    _TYPE.DOUBLE: "DOUBLE",
    _TYPE.JSON: "JSON",
    _TYPE.JSONB: "JSON",
}
_ALTERNATIVES: dict[exp.DType, str] = {
    _TYPE.SERIAL: "Use BIGSERIAL: Milvus assigns 64-bit ids.",
    _TYPE.SMALLSERIAL: "Use BIGSERIAL: Milvus assigns 64-bit ids.",
    _TYPE.CHAR: "Use VARCHAR(n): Milvus does not pad strings.",
    _TYPE.DECIMAL: "Use DOUBLE PRECISION, or store exact numbers as BIGINT or VARCHAR.",
    _TYPE.TIMESTAMP: "Use BIGINT (seconds since 1970) or VARCHAR (ISO 8601).",
    _TYPE.TIMESTAMPTZ: "Use BIGINT (seconds since 1970) or VARCHAR (ISO 8601).",
    _TYPE.DATE: "Use INT (20260131) or VARCHAR (ISO 8601).",
    _TYPE.UUID: "Use VARCHAR(36).",
}
_USER_DEFINED = {"SPARSEVEC": "SPARSE_FLOAT_VECTOR"}
_TYPE_NAMES = (
    *("BIGINT", "INT", "SMALLINT", "BOOLEAN", "REAL", "DOUBLE PRECISION", "VARCHAR", "TEXT", "JSONB"),
    *("BIGSERIAL", "VECTOR", "SPARSEVEC"),
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


@dataclass(frozen=True)
class ColumnType:
    """A type of Milvus."""

    name: str
    length: int | None = None
    """The length of a VARCHAR, or of the elements of an ARRAY, in bytes."""
    dim: int | None = None
    element: str | None = None
    """The type of the elements of an ARRAY."""


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
    if column.type == "ARRAY":
        return f"{_scalar(column.type_params.element_type or '?', column.max_length)}[]"
    if column.type == "INT64" and column.auto_id:
        return "BIGSERIAL"
    if column.dim is not None:
        return f"{_SQL_NAMES.get(column.type, column.type)}({column.dim})"
    return _scalar(column.type, column.max_length)


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
    sizes = _sizes(source, node, position)
    if not sizes:
        raise source.syntax_error("VECTOR needs a dim", position, "Write VECTOR(384).")
    if not 2 <= sizes[0] <= 32_768:
        raise source.type_mismatch("the vector dim is out of range", sizes[0], position, "Use 2 to 32768.")
    return ColumnType("FLOAT_VECTOR", dim=sizes[0])


def _array(source: SourceText, node: exp.DataType, position: int) -> ColumnType:
    inner = bind_type(source, node.expressions[0], position)
    if inner.name in ("ARRAY", "JSON") or inner.dim is not None:
        raise source.not_supported(
            "an array of arrays, vectors or JSON values", position, "Use a JSONB column."
        )
    if node.args.get("values"):
        raise source.not_supported("an array with a size", position, "Write [] after the element type.")
    return ColumnType("ARRAY", inner.length, element=inner.name)


def _user_defined(source: SourceText, node: exp.DataType, position: int) -> ColumnType:
    kind = node.args.get("kind")
    name = str(kind.this if isinstance(kind, exp.Identifier) else kind or "")
    if name.upper() in _USER_DEFINED:
        return ColumnType(_USER_DEFINED[name.upper()])
    if name.upper() in ("HALFVEC", "BIT"):
        raise source.not_supported(
            f"the type {name.upper()}",
            position,
            "Use VECTOR(n), or define the collection in a spec: nestvec collection create.",
        )
    raise source.unknown_name(
        "there is no such type",
        name,
        position,
        f"Available: {', '.join(_TYPE_NAMES)}.{nearest(name.upper(), _TYPE_NAMES)}",
    )


def _sizes(source: SourceText, node: exp.DataType, position: int) -> list[int]:
    sizes = []
    for parameter in node.expressions:
        value = parameter.this if isinstance(parameter, exp.DataTypeParam) else parameter
        if not isinstance(value, exp.Literal) or value.is_string or not str(value.this).isdecimal():
            raise source.type_mismatch("a size is an integer", value.sql()[:40], value, "Write an integer.")
        sizes.append(int(str(value.this)[:12]))
    if len(sizes) > 1:
        raise source.syntax_error("this type takes one size", position, "Write one number.")
    return sizes


def _token_text(source: SourceText, position: int) -> str:
    return next((token.text for token in source.tokens if token.start == position), "of this name")


_BINDERS: dict[exp.DType, Callable[[SourceText, exp.DataType, int], ColumnType]] = {
    _TYPE.VARCHAR: _text,
    _TYPE.TEXT: _text,
    _TYPE.VECTOR: _vector,
    _TYPE.ARRAY: _array,
}
