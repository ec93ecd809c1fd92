"""What ANALYZE found of a family, as stored with the collection: recall by dim and size of shortlist."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nestvec.milvus.catalog import Table

PROPERTY_PREFIX: Final = "nestvec.recall."
"""A collection's property of this name, with the longest column's after it."""

ANSWER_COUNTS: Final = (1, 10, 100)
"""Lengths of answers (LIMIT and OFFSET together) that recall is measured for."""

SHORTLIST_SIZES: Final = (10, 20, 50, 100, 200, 400, 800, 1600)
"""Sizes of shortlists that are tried."""

RECALL_LEVELS: Final = (0.95, 0.99)
"""Targets that an early stop is learned for."""

MIN_QUERIES: Final = 30
"""Queries without which nothing is concluded."""

_MAX_BYTES = 1 << 16

_Share = Annotated[float, Field(ge=0, le=1)]
_Gap = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _StoredModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ShortlistRecall(_StoredModel):
    """Of answers of ``count`` rows, from the best ``size`` rows by the shorter vector.

    ``mean`` over the queries, and ``floor``, the lower end of its one-sided 95 % interval. ``easy`` is, for
    each of ``LEVELS``, the gap from which the shorter vector's own answer will do; None where none is.
    """

    count: Annotated[int, Field(ge=1)]
    size: Annotated[int, Field(ge=1)]
    mean: _Share
    floor: _Share
    easy: tuple[_Gap | None, ...] = (None,) * len(RECALL_LEVELS)

    @model_validator(mode="after")
    def _check_gaps(self) -> ShortlistRecall:
        if len(self.easy) != len(RECALL_LEVELS):
            raise ValueError("not one gap a level")
        return self


class ShorterColumn(_StoredModel):
    """One of the shorter columns."""

    column: str
    dim: Annotated[int, Field(ge=1)]
    recall: tuple[ShortlistRecall, ...]


class FamilyStatistics(_StoredModel):
    """What was measured, on a collection of ``rows``, against whole searches by ``column``."""

    version: Literal[1] = 1
    column: str
    dim: Annotated[int, Field(ge=1)]
    rows: Annotated[int, Field(ge=0)]
    queries: Annotated[int, Field(ge=0)]
    shorter: tuple[ShorterColumn, ...]


def dump_statistics(statistics: FamilyStatistics) -> str:
    """The JSON that is stored: some kilobytes."""
    return statistics.model_dump_json(exclude_defaults=False)


def stored_statistics(table: Table, longest: str) -> FamilyStatistics | str | None:
    """The statistics of the family of a column; None where there are none, a reason where they are no use."""
    text = table.properties.get(PROPERTY_PREFIX + longest)
    statistics = None if text is None else load_statistics(str(text))
    if isinstance(statistics, FamilyStatistics) and statistics.column != longest:
        return f"column: made for {statistics.column}"
    return statistics


@lru_cache(maxsize=64)
def load_statistics(text: str) -> FamilyStatistics | str:
    """What ``written`` made, or why the text is no such thing."""
    if len(text) > _MAX_BYTES:
        return "longer than any statistics"
    try:
        return FamilyStatistics.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']}" if place else first["msg"]
