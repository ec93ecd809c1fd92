"""SQLAlchemy's types for those of nestvec's SQL, with pgvector's names and comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, null, types
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from nestvec.milvus.catalog import Column
from nestvec.sqltypes import SqlType, sql_type_of


class _Distances(TypeEngine.Comparator[Any]):
    """pgvector's comparisons, each a distance that ``ORDER BY`` ranks rows by.

    ``other`` is a vector, a text that the service embeds, or another expression.
    """

    def _distance(self, operator: str, other: object) -> ColumnElement[float]:
        distance: ColumnElement[float] = self.op(operator, return_type=types.Float())(other)  # type: ignore[assignment]
        return distance

    def cosine_distance(self, other: object) -> ColumnElement[float]:
        """``v <=> other``."""
        return self._distance("<=>", other)

    def l2_distance(self, other: object) -> ColumnElement[float]:
        """``v <-> other``, the Euclidean distance."""
        return self._distance("<->", other)

    def max_inner_product(self, other: object) -> ColumnElement[float]:
        """``v <#> other``, the negative inner product."""
        return self._distance("<#>", other)

    def l1_distance(self, other: object) -> ColumnElement[float]:
        """``v <+> other``, the sum of absolute differences."""
        return self._distance("<+>", other)

    def hamming_distance(self, other: object) -> ColumnElement[float]:
        """``v <~> other``, of bits."""
        return self._distance("<~>", other)

    def jaccard_distance(self, other: object) -> ColumnElement[float]:
        """``v <%> other``, of bits."""
        return self._distance("<%>", other)

    def bm25_score(self, other: object) -> ColumnElement[float]:
        """``v <@> other``, the negative score of the words of a text."""
        return self._distance("<@>", other)


class _VectorType(types.UserDefinedType[Any]):
    """A type with a number of dims and distances."""

    comparator_factory = _Distances
    sql_name = ""

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def get_col_spec(self, **kw: Any) -> str:
        """``VECTOR(384)``."""
        return f"{self.sql_name}({self.dim})" if self.dim else self.sql_name


class Vector(_VectorType):
    """A vector of ``dim`` numbers, named as in pgvector. Values are lists of floats."""

    cache_ok = True
    sql_name = "VECTOR"


class HalfVec(_VectorType):
    """A vector of ``dim`` numbers of 16 bits. Values are lists of floats."""

    cache_ok = True
    sql_name = "HALFVEC"


class BFloat16Vector(_VectorType):
    """A vector of ``dim`` numbers of 16 bits with the range of 32-bit floats. Values are lists of floats."""

    cache_ok = True
    sql_name = "BFLOAT16_VECTOR"


class Bit(_VectorType):
    """``dim`` bits. Values are strings: ``'101'``."""

    cache_ok = True
    sql_name = "BIT"


class SparseVec(_VectorType):
    """A sparse vector. Values are pgvector's text, ``'{1:1.5}/5'``, or mappings where ``dim`` is None."""

    cache_ok = True
    sql_name = "SPARSEVEC"


class Bm25(SparseVec):
    """The column of a BM25 function, which Milvus ranks by and does not return: a SELECT reads NULL."""

    cache_ok = True

    def column_expression(self, colexpr: ColumnElement[Any]) -> ColumnElement[Any]:
        """NULL, so that ``select(table)`` works."""
        return null()


_SCALARS: Final[Mapping[str, Callable[[], TypeEngine[Any]]]] = {
    "BOOL": types.Boolean,
    "INT8": types.SmallInteger,
    "INT16": types.SmallInteger,
    "INT32": types.Integer,
    "INT64": types.BigInteger,
    "FLOAT": types.REAL,
    "DOUBLE": types.Double,
    "JSON": postgresql.JSONB,
}

_MAPPED: Final[Mapping[str, Callable[[], TypeEngine[Any]]]] = {
    "date": types.Date,
    "time": types.Time,
    "timestamp": types.DateTime,
    "timestamptz": lambda: types.DateTime(timezone=True),
    "uuid": types.Uuid,
    "bytea": types.LargeBinary,
    "int2": types.SmallInteger,
    "int4": types.Integer,
}

_VECTORS: Final[Mapping[str, type[_VectorType]]] = {
    "halfvec": HalfVec,
    "bfloat16_vector": BFloat16Vector,
    "bit": Bit,
    "sparsevec": SparseVec,
    "SPARSE_FLOAT_VECTOR": SparseVec,
    "BINARY_VECTOR": Bit,
    "FLOAT16_VECTOR": HalfVec,
    "BFLOAT16_VECTOR": BFloat16Vector,
}


def reflected_type(column: Column, *, lexical: bool = False) -> TypeEngine[Any]:
    """The type of a column; NullType if SQLAlchemy has no type for it. ``lexical`` is a column of BM25."""
    if lexical:
        return Bm25()
    kind = sql_type_of(column)
    if kind is not None:
        element = _mapped_type(kind)
        return postgresql.ARRAY(element) if kind.array else element
    if column.type == "ARRAY":
        element_type = column.type_params.element_type or ""
        return postgresql.ARRAY(_plain_type(element_type, column.max_length))
    if column.is_vector:
        return _VECTORS.get(column.type, Vector)(column.dim)
    return _plain_type(column.type, column.max_length)


def _plain_type(name: str, max_length: int | None) -> TypeEngine[Any]:
    if name == "VARCHAR":
        return types.String(max_length)
    return _SCALARS[name]() if name in _SCALARS else types.NullType()


def _mapped_type(kind: SqlType) -> TypeEngine[Any]:
    if kind.name in _VECTORS:
        return _VECTORS[kind.name](kind.sizes[0] if kind.sizes else None)
    if kind.name == "numeric":
        return types.Numeric(kind.sizes[0] if kind.sizes else None, kind.scale)
    return _MAPPED[kind.name]()
