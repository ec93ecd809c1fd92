"""A bound SELECT, as data: what the planner reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.conditions import Condition
from nestvec.sql.bind.order import SortKey
from nestvec.sql.bind.select_list import OutputColumn
from nestvec.sql.bind.thresholds import Threshold
from nestvec.sql.bind.vectors.ranking import Ranking
from nestvec.sql.bind.vectors.rerank import RerankClause
from nestvec_schemas.errors import SqlTypeMismatch

MAX_WINDOW: Final = 16_384
"""Milvus's bound on limit + offset (``quotaAndLimits.limits.maxQueryResultWindow``)."""

MAX_SCAN_ROWS: Final = 1_000_000
"""Rows that are read without a ranking, in pages: all of them are held in memory."""


class WindowExceeded(SqlTypeMismatch):
    """A ranking of more rows than a search gives: every row has to be compared."""


@dataclass(frozen=True)
class Ordering:
    """The order of the rows, and the bound that cuts a ranking."""

    ranking: Ranking | None = None
    """The distance or score that ranks the rows."""
    keys: tuple[SortKey, ...] = ()
    """The keys of ORDER BY; with a ranking, the first of them is by it."""
    thresholds: tuple[Threshold, ...] = ()
    """Bounds in WHERE on the ranking's value."""
    rerank: RerankClause | None = None
    """A cross-encoder whose scores replace the ranking's."""


@dataclass(frozen=True)
class Query:
    """A bound query."""

    table: Table
    outputs: tuple[OutputColumn, ...]
    where: Condition | None
    ordering: Ordering
    limit: int | None
    """None reads every row."""
    offset: int
    group_column: str = ""
    """The column of a ranking whose every value has only its best row in the result; empty for none."""
    counts: bool = False
    """Whether the result is the number of rows."""
