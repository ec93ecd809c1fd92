"""The types of the Python package pgvector in this dialect, whose values are no texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Dialect, types
from sqlalchemy.types import TypeEngine

_PACKAGE: Final = "pgvector.sqlalchemy"

Process = Callable[[Any], Any]


def is_pgvector_type(type_: object) -> bool:
    """Whether a type is ``VECTOR``, ``HALFVEC`` or ``SPARSEVEC`` of pgvector, which need not be installed."""
    return type(type_).__module__.startswith(_PACKAGE) and isinstance(type_, types.UserDefinedType)


class PgvectorType(types.UserDefinedType[Any]):
    """A type of pgvector, which reads the texts of PostgreSQL's drivers: vectors are lists here already."""

    cache_ok = True

    def __init__(self, pgvector_type: TypeEngine[Any]) -> None:
        self.pgvector_type = pgvector_type

    def get_col_spec(self, **kw: Any) -> str:
        """``VECTOR(384)``."""
        spec: str = self.pgvector_type.get_col_spec(**kw)  # type: ignore[attr-defined]
        return spec

    def bind_processor(self, dialect: Dialect) -> Process | None:
        """Of numpy arrays, lists and pgvector's own classes to text."""
        return self.pgvector_type.bind_processor(dialect)

    def literal_processor(self, dialect: Dialect) -> Process | None:
        """The same as a constant."""
        return self.pgvector_type.literal_processor(dialect)

    def result_processor(self, dialect: Dialect, coltype: object) -> Process:
        """Lists as they are; texts of sparse vectors as pgvector's class."""
        read = self.pgvector_type.result_processor(dialect, coltype)
        return lambda value: read(value) if read is not None and isinstance(value, str) else value
