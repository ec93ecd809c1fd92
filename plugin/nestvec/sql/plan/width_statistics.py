"""What ANALYZE measured for one vector column's index: recall by the width of a search and by selectivity."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nestvec.milvus.catalog import Table
from nestvec.sql.plan.index_kinds import Workload

WIDTHS_PREFIX: Final = "nestvec.widths."
"""Prefix of the collection property; the name of the column follows."""

SELECTIVITIES: Final = (1.0, 0.5, 0.1, 0.02)
"""Shares of the rows that the filters of the sample let pass, about."""

STALE_SHARE: Final = 0.1
"""Change of the number of rows from which statistics are out of date."""

_FILTER_MARGIN: Final = 2
"""Filters that go with the vectors (a topic, a period) are harder than those of the sample."""

_MAX_BYTES = 1 << 16

_Share = Annotated[float, Field(ge=0, le=1)]


class _StoredModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class WidthRecall(_StoredModel):
    """Recall@10 of searches of one width."""

    width: Annotated[int, Field(ge=1)]
    mean: _Share
    """Over the queries."""
    floor: _Share
    """Lower bound of the one-sided 95 % confidence interval of the mean."""


class FilteredRecall(_StoredModel):
    """What was measured under filters of one selectivity."""

    selectivity: Annotated[float, Field(gt=0, le=1)]
    widths: tuple[WidthRecall, ...]
    """By width, narrowest first."""


class WidthStatistics(_StoredModel):
    """What was measured for one column, against all vectors that match."""

    version: Literal[1] = 1
    column: str
    index: str
    """Milvus's name of the type of its index at the time."""
    rows: Annotated[int, Field(ge=0)]
    """Rows of the collection at the time."""
    queries: Annotated[int, Field(ge=0)]
    measured: tuple[FilteredRecall, ...]

    def stale(self, rows: int) -> str:
        """Why the statistics are out of date for a collection of ``rows``; empty if they are not."""
        if abs(rows - self.rows) <= STALE_SHARE * self.rows:
            return ""
        return f"ANALYZE measured {self.column} with {self.rows:,} rows, but the collection has {rows:,}"


def stored_widths(table: Table, column: str) -> WidthStatistics | None:
    """The statistics of a column; None if there are none for its present index."""
    text = table.properties.get(WIDTHS_PREFIX + column)
    statistics = None if text is None else _load(str(text))
    if statistics is None or statistics.column != column or statistics.index != table.indexes.get(column):
        return None
    return statistics


@lru_cache(maxsize=64)
def _load(text: str) -> WidthStatistics | None:
    if len(text) > _MAX_BYTES:
        return None
    try:
        return WidthStatistics.model_validate_json(text)
    except ValidationError:
        # Anyone may write a property: what cannot be read counts as not measured.
        return None


def measured_width(statistics: WidthStatistics, workload: Workload) -> tuple[int, float] | None:
    """The narrowest width that reaches the recall under such a filter, and the lower bound of its recall.

    The widest that was measured if none reaches it; None if nothing was measured.
    """
    entries = sorted(statistics.measured, key=lambda entry: entry.selectivity)
    usable = [entry for entry in entries if entry.widths]
    if not usable:
        return None
    share = workload.selectivity
    # Narrower filters are harder: the one at or below this selectivity is the one to rely on.
    entry = next((entry for entry in reversed(usable) if entry.selectivity <= share * 1.01), usable[0])
    best = next((each for each in entry.widths if each.floor >= workload.recall), entry.widths[-1])
    excess = max(1.0, entry.selectivity / share) * (_FILTER_MARGIN if share < 1 else 1)
    return math.ceil(best.width * (excess if workload.lite else math.sqrt(excess))), best.floor
