"""What ANALYZE measured for a family, as stored with the collection: recall by dim and shortlist size."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nestvec.milvus.catalog import Table

PROPERTY_PREFIX: Final = "nestvec.recall."
"""Prefix of the collection property; the name of the longest column follows."""

ANSWER_COUNTS: Final = (1, 10, 100)
"""Numbers of rows (LIMIT plus OFFSET) for which recall is measured."""

SHORTLIST_SIZES: Final = (10, 20, 50, 100, 200, 400, 800, 1600)
"""Sizes of shortlist that are measured."""

RECALL_LEVELS: Final = (0.95, 0.99)
"""Recalls for which an early stop is learned."""

MIN_QUERIES: Final = 30
"""Queries below which no shortlist is chosen."""

_MAX_BYTES = 1 << 16

_Share = Annotated[float, Field(ge=0, le=1)]
_Gap = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _StoredModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ShortlistRecall(_StoredModel):
    """Recall of results of ``count`` rows that are rescored from a shortlist of ``size`` rows."""

    count: Annotated[int, Field(ge=1)]
    size: Annotated[int, Field(ge=1)]
    mean: _Share
    """Over the queries."""
    floor: _Share
    """Lower bound of the one-sided 95 % confidence interval of the mean."""
    easy: tuple[_Gap | None, ...] = (None,) * len(RECALL_LEVELS)
    """For each of ``RECALL_LEVELS``, the gap from which the shortlist's own order is kept; None for never."""

    @model_validator(mode="after")
    def _check_gaps(self) -> ShortlistRecall:
        if len(self.easy) != len(RECALL_LEVELS):
            raise ValueError("not one gap per level")
        return self


class ShorterColumn(_StoredModel):
    """What was measured for one shorter column."""

    column: str
    dim: Annotated[int, Field(ge=1)]
    recall: tuple[ShortlistRecall, ...]


class FamilyStatistics(_StoredModel):
    """What was measured for one family, against searches by its longest column."""

    version: Literal[1] = 1
    column: str
    """The longest column."""
    dim: Annotated[int, Field(ge=1)]
    rows: Annotated[int, Field(ge=0)]
    """Rows of the collection at the time."""
    queries: Annotated[int, Field(ge=0)]
    """Queries that were sampled."""
    shorter: tuple[ShorterColumn, ...]


def dump_statistics(statistics: FamilyStatistics) -> str:
    """The JSON that is stored, a few kilobytes."""
    return statistics.model_dump_json(exclude_defaults=False)


def stored_statistics(table: Table, longest: str) -> FamilyStatistics | str | None:
    """The statistics of a family; None if there are none, the reason if they are unusable."""
    text = table.properties.get(PROPERTY_PREFIX + longest)
    statistics = None if text is None else load_statistics(str(text))
    if isinstance(statistics, FamilyStatistics) and statistics.column != longest:
        return f"column: made for {statistics.column}"
    return statistics


@lru_cache(maxsize=64)
def load_statistics(text: str) -> FamilyStatistics | str:
    """The statistics from their JSON, or the reason why the text is not valid."""
    if len(text) > _MAX_BYTES:
        return "too long"
    try:
        return FamilyStatistics.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']}" if place else first["msg"]
