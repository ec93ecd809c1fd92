"""SQLAlchemy's types for Milvus's."""

from __future__ import annotations

from typing import Any

from sqlalchemy import types
from sqlalchemy.types import TypeEngine

from nestvec.milvus.catalog import Column, TypeParams


class Vector(types.UserDefinedType[list[float]]):
    """A vector of ``dim`` numbers, named as in pgvector. Values are lists of floats."""

    cache_ok = True

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def get_col_spec(self, **kw: Any) -> str:
        """``VECTOR(384)``."""
        return f"VECTOR({self.dim})" if self.dim else "VECTOR"


_SCALARS: dict[str, type[TypeEngine[Any]]] = {
    "BOOL": types.Boolean,
    "INT8": types.SmallInteger,
    "INT16": types.SmallInteger,
    "INT32": types.Integer,
    "INT64": types.BigInteger,
    "FLOAT": types.REAL,
    "DOUBLE": types.Double,
    "JSON": types.JSON,
    "BINARY_VECTOR": types.LargeBinary,
}


def reflected_type(column: Column) -> TypeEngine[Any]:
    """The type of a column; NullType if SQLAlchemy has no type for it."""
    if column.type == "VARCHAR":
        return types.String(column.max_length)
    if column.type == "ARRAY":
        element = Column(
            "", column.type_params.element_type or "", type_params=TypeParams(max_length=column.max_length)
        )
        return types.ARRAY(reflected_type(element))
    if column.type in _SCALARS:
        return _SCALARS[column.type]()
    return Vector(column.dim) if column.is_vector else types.NullType()
