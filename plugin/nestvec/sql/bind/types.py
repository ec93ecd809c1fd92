"""Types of columns: PostgreSQL's and pgvector's names for Milvus's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.parse.source import Source
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
_INSTEAD: dict[exp.DType, str] = {
    _D.SERIAL: "Write BIGSERIAL: Milvus makes ids of 64 bits.",
    _D.SMALLSERIAL: "Write BIGSERIAL: Milvus makes ids of 64 bits.",
    _D.CHAR: "Write VARCHAR(n): Milvus pads no texts.",
    _D.DECIMAL: "Write DOUBLE PRECISION, or keep exact numbers as BIGINT or VARCHAR.",
    _D.TIMESTAMP: "Write BIGINT (seconds since 1970) or VARCHAR (ISO 8601).",
    _D.TIMESTAMPTZ: "Write BIGINT (seconds since 1970) or VARCHAR (ISO 8601).",
    _D.DATE: "Write INT (20260131) or VARCHAR (ISO 8601).",
    _D.UUID: "Write VARCHAR(36).",
}
_OWN = {"SPARSEVEC": "SPARSE_FLOAT_VECTOR"}
_NAMES = (
    *("BIGINT", "INT", "SMALLINT", "BOOLEAN", "REAL", "DOUBLE PRECISION", "VARCHAR", "TEXT", "JSONB"),
    *("BIGSERIAL", "VECTOR", "SPARSEVEC"),
)
_WRITTEN = {
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
class Type:
    """Milvus's name of a type; ``length`` is a VARCHAR's, or its elements', in bytes; ``dim`` a vector's."""

    name: str
    length: int | None = None
    dim: int | None = None
    element: str | None = None


def bind_type(source: Source, node: exp.Expr, place: int) -> Type:
    """A type as it is written at ``place``. Raises SqlTypeMismatch, SqlNotSupported, SqlUnknownName."""
    if not isinstance(node, exp.DataType):
        raise source.not_supported("this type", place, f"Types: {', '.join(_NAMES)}.")
    kind = node.this
    binder = _BINDERS.get(kind)
    if binder is not None:
        return binder(source, node, place)
    if kind == _D.USERDEFINED:
        return _own(source, node, place)
    if kind not in _SCALARS:
        name = _word(source, place)
        raise source.not_supported(
            f"the type {name.upper()}", place, _INSTEAD.get(kind, f"Types: {', '.join(_NAMES)}.")
        )
    if node.expressions:
        raise source.not_supported(f"{_word(source, place).upper()} with a size", place, "Remove the size.")
    return Type(_SCALARS[kind])


def written(column: Column) -> str:
    """A column's type as ``bind_type`` reads it, or as pgvector would have it."""
    if column.type == "ARRAY":
        return f"{_scalar(column.element_type or '?', column.max_length)}[]"
    if column.type == "INT64" and column.auto_id:
        return "BIGSERIAL"
    if column.dim is not None:
        return f"{_WRITTEN.get(column.type, column.type)}({column.dim})"
    return _scalar(column.type, column.max_length)


def _scalar(name: str, length: int | None) -> str:
    if name == "VARCHAR":
        return "TEXT" if length in (None, MAX_LENGTH) else f"VARCHAR({length})"
    return _WRITTEN.get(name, name)


def _text(source: Source, node: exp.DataType, place: int) -> Type:
    given = _sizes(source, node, place)
    length = given[0] if given else MAX_LENGTH
    if not 1 <= length <= MAX_LENGTH:
        raise source.type_mismatch(
            "Milvus has no VARCHAR of this many bytes", length, place, f"Write 1 to {MAX_LENGTH}."
        )
    return Type("VARCHAR", length)


def _vector(source: Source, node: exp.DataType, place: int) -> Type:
    given = _sizes(source, node, place)
    if not given:
        raise source.syntax_error("a VECTOR has a number of dims", place, "Write VECTOR(384).")
    if not 2 <= given[0] <= 32_768:
        raise source.type_mismatch(
            "Milvus has no vectors of this many dims", given[0], place, "Write 2 to 32768."
        )
    return Type("FLOAT_VECTOR", dim=given[0])


def _array(source: Source, node: exp.DataType, place: int) -> Type:
    inner = bind_type(source, node.expressions[0], place)
    if inner.name in ("ARRAY", "JSON") or inner.dim is not None:
        raise source.not_supported("an array of arrays, vectors or JSON values", place, "Use a JSONB column.")
    if node.args.get("values"):
        raise source.not_supported("an array with a size", place, "Write [] after its elements' type.")
    return Type("ARRAY", inner.length, element=inner.name)


def _own(source: Source, node: exp.DataType, place: int) -> Type:
    kind = node.args.get("kind")
    name = str(kind.this if isinstance(kind, exp.Identifier) else kind or "")
    if name.upper() in _OWN:
        return Type(_OWN[name.upper()])
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


def _sizes(source: Source, node: exp.DataType, place: int) -> list[int]:
    found = []
    for one in node.expressions:
        value = one.this if isinstance(one, exp.DataTypeParam) else one
        if not isinstance(value, exp.Literal) or value.is_string or not str(value.this).isdecimal():
            raise source.type_mismatch("a size is a whole number", value.sql()[:40], value, "Write one.")
        found.append(int(str(value.this)[:12]))
    if len(found) > 1:
        raise source.syntax_error("this type has one size", place, "Write one number.")
    return found


def _word(source: Source, place: int) -> str:
    return next((one.text for one in source.tokens if one.start == place), "of this name")


_BINDERS: dict[exp.DType, Callable[[Source, exp.DataType, int], Type]] = {
    _D.VARCHAR: _text,
    _D.TEXT: _text,
    _D.VECTOR: _vector,
    _D.ARRAY: _array,
}
