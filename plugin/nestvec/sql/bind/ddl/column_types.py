"""Types of columns: PostgreSQL's and pgvector's names for Milvus's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.parse.source import SourceText
from nestvec_schemas.errors import nearest

MAX_LENGTH: Final = 65_535
MAX_CAPACITY: Final = 4_096
"""What Milvus takes in a VARCHAR, in bytes, and in an ARRAY, in elements."""

_D = exp.DType
_SCALARS: dict[exp.DType, str] = {
    _D.BOOLEAN: "BOOL",
    _D.SMALLINT: "INT16",
    _D.INT: "INT32",
    _D.BIGINT: "INT64",
    _D.BIGSERIAL: "INT64",
    _D.FLOAT: "FLOAT",
    _D.DOUBLE: "DOUBLE",
    _D.JSON: "JSON",
    _D.JSONB: "JSON",
}
_ALTERNATIVES: dict[exp.DType, str] = {
    _D.SERIAL: "Write BIGSERIAL: Milvus makes ids of 64 bits.",
    _D.SMALLSERIAL: "Write BIGSERIAL: Milvus makes ids of 64 bits.",
    _D.CHAR: "Write VARCHAR(n): Milvus pads no texts.",
    _D.DECIMAL: "Write DOUBLE PRECISION, or keep exact numbers as BIGINT or VARCHAR.",
    _D.TIMESTAMP: "Write BIGINT (seconds since 1970) or VARCHAR (ISO 8601).",
    _D.TIMESTAMPTZ: "Write BIGINT (seconds since 1970) or VARCHAR (ISO 8601).",
    _D.DATE: "Write INT (20260131) or VARCHAR (ISO 8601).",
    _D.UUID: "Write VARCHAR(36).",
}
_USER_DEFINED = {"SPARSEVEC": "SPARSE_FLOAT_VECTOR"}
_NAMES = (
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
    """Milvus's name of a type; ``length`` is a VARCHAR's, or its elements', in bytes; ``dim`` a vector's."""

    name: str
    length: int | None = None
    dim: int | None = None
    element: str | None = None


def bind_type(source: SourceText, node: exp.Expr, place: int) -> ColumnType:
    """A type as it is written at ``place``. Raises SqlTypeMismatch, SqlNotSupported, SqlUnknownName."""
    if not isinstance(node, exp.DataType):
        raise source.not_supported("this type", place, f"Types: {', '.join(_NAMES)}.")
    kind = node.this
    binder = _BINDERS.get(kind)
    if binder is not None:
        return binder(source, node, place)
    if kind == _D.USERDEFINED:
        return _user_defined(source, node, place)
    if kind not in _SCALARS:
        name = _token_text(source, place)
        raise source.not_supported(
            f"the type {name.upper()}", place, _ALTERNATIVES.get(kind, f"Types: {', '.join(_NAMES)}.")
        )
    if node.expressions:
        raise source.not_supported(
            f"{_token_text(source, place).upper()} with a size", place, "Remove the size."
        )
    return ColumnType(_SCALARS[kind])


def type_sql(column: Column) -> str:
    """A column's type as ``bind_type`` reads it, or as pgvector would have it."""
    if column.type == "ARRAY":
        return f"{_scalar(column.element_type or '?', column.max_length)}[]"
    if column.type == "INT64" and column.auto_id:
        return "BIGSERIAL"
    if column.dim is not None:
        return f"{_SQL_NAMES.get(column.type, column.type)}({column.dim})"
    return _scalar(column.type, column.max_length)


def _scalar(name: str, length: int | None) -> str:
    if name == "VARCHAR":
        return "TEXT" if length in (None, MAX_LENGTH) else f"VARCHAR({length})"
    return _SQL_NAMES.get(name, name)


def _text(source: SourceText, node: exp.DataType, place: int) -> ColumnType:
    sizes = _sizes(source, node, place)
    length = sizes[0] if sizes else MAX_LENGTH
    if not 1 <= length <= MAX_LENGTH:
        raise source.type_mismatch(
            "Milvus has no VARCHAR of this many bytes", length, place, f"Write 1 to {MAX_LENGTH}."
        )
    return ColumnType("VARCHAR", length)


def _vector(source: SourceText, node: exp.DataType, place: int) -> ColumnType:
    sizes = _sizes(source, node, place)
    if not sizes:
        raise source.syntax_error("a VECTOR has a number of dims", place, "Write VECTOR(384).")
    if not 2 <= sizes[0] <= 32_768:
        raise source.type_mismatch(
            "Milvus has no vectors of this many dims", sizes[0], place, "Write 2 to 32768."
        )
    return ColumnType("FLOAT_VECTOR", dim=sizes[0])


def _array(source: SourceText, node: exp.DataType, place: int) -> ColumnType:
    inner = bind_type(source, node.expressions[0], place)
    if inner.name in ("ARRAY", "JSON") or inner.dim is not None:
        raise source.not_supported("an array of arrays, vectors or JSON values", place, "Use a JSONB column.")
    if node.args.get("values"):
        raise source.not_supported("an array with a size", place, "Write [] after its elements' type.")
    return ColumnType("ARRAY", inner.length, element=inner.name)


def _user_defined(source: SourceText, node: exp.DataType, place: int) -> ColumnType:
    kind = node.args.get("kind")
    name = str(kind.this if isinstance(kind, exp.Identifier) else kind or "")
    if name.upper() in _USER_DEFINED:
        return ColumnType(_USER_DEFINED[name.upper()])
    if name.upper() in ("HALFVEC", "BIT"):
        raise source.not_supported(
            f"the type {name.upper()}", place, "Write VECTOR(n); other forms: nestvec collection create."
        )
    raise source.unknown_name(
        "there is no type of this name",
        name,
        place,
        f"Types: {', '.join(_NAMES)}.{nearest(name.upper(), _NAMES)}",
    )


def _sizes(source: SourceText, node: exp.DataType, place: int) -> list[int]:
    sizes = []
    for parameter in node.expressions:
        value = parameter.this if isinstance(parameter, exp.DataTypeParam) else parameter
        if not isinstance(value, exp.Literal) or value.is_string or not str(value.this).isdecimal():
            raise source.type_mismatch("a size is a whole number", value.sql()[:40], value, "Write one.")
        sizes.append(int(str(value.this)[:12]))
    if len(sizes) > 1:
        raise source.syntax_error("this type has one size", place, "Write one number.")
    return sizes


def _token_text(source: SourceText, place: int) -> str:
    return next((token.text for token in source.tokens if token.start == place), "of this name")


_BINDERS: dict[exp.DType, Callable[[SourceText, exp.DataType, int], ColumnType]] = {
    _D.VARCHAR: _text,
    _D.TEXT: _text,
    _D.VECTOR: _vector,
    _D.ARRAY: _array,
}
