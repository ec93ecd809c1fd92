"""What a statement comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Row = tuple[Any, ...]


@dataclass(frozen=True)
class StatementResult:
    """Rows as Milvus gives them: numbers, texts, booleans, None; a vector is a list of floats.

    ``types`` are Milvus's names of what each column holds, ``ANY`` where nobody knows. A statement without
    rows has no columns: ``tag`` says what was done, as PostgreSQL's command tags do (``DELETE 3``), and
    ``count`` to how many rows. ``seconds`` is the time that Milvus took, with the embedding of texts.
    """

    columns: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    tag: str = ""
    count: int = -1
    seconds: float = 0.0
