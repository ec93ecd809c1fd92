"""The result of a statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Row = tuple[Any, ...]


@dataclass(frozen=True)
class StatementResult:
    """The rows of a statement, or what it did."""

    columns: tuple[str, ...] = ()
    """Names of the columns; empty for a statement that returns no rows."""
    types: tuple[str, ...] = ()
    """Milvus's names of the columns' types, ``ANY`` if the type is unknown."""
    rows: tuple[Row, ...] = ()
    """Numbers, texts, booleans and None, as Milvus returns them; a vector is a list of floats."""
    tag: str = ""
    """PostgreSQL's command tag: ``DELETE 3``."""
    count: int = -1
    """Rows that were returned or changed; -1 if unknown."""
    rejected: int = 0
    """Rows of a file that COPY could not insert; the tag names the file that they are in."""
    seconds: float = 0.0
    """Time that Milvus took, with the embedding of texts."""
    elements: Mapping[int, str] = field(default_factory=dict)
    """The types of the elements of columns that are an ARRAY, by their positions, where they are known."""
    names: Mapping[int, str] = field(default_factory=dict)
    """PostgreSQL's names of types that ``types`` does not tell, by position: ``json``, ``_float4``."""

    def records(self) -> list[dict[str, Any]]:
        """The rows as objects: of columns with the same name, the second is ``name_2``."""
        names: list[str] = []
        for column in self.columns:
            name, number = column, 2
            while name in names or (name != column and name in self.columns):
                name, number = f"{column}_{number}", number + 1
            names.append(name)
        return [dict(zip(names, row, strict=True)) for row in self.rows]
