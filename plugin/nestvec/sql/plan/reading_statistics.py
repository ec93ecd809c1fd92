"""What ANALYZE measured while a column's encoder is upgraded: what its old vectors find, alone and fused with
the new ones."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nestvec.milvus.catalog import Table
from nestvec.milvus.fingerprints import RecordedUpgrade

READING_PREFIX: Final = "nestvec.reading."
"""Prefix of the collection property; the name of the column follows."""

_MAX_BYTES = 1 << 12

_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0)]


class Reading(BaseModel):
    """What one way to read a column found of the rows that the queries were taken from."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    recall: _Share
    """The share of queries whose row is among the 10 nearest."""
    reciprocal_rank: _Share
    """Mean of 1 ÷ rank of the query's row, 0 where it is not among the 10 nearest (MRR@10)."""


class ReadingStatistics(BaseModel):
    """What was measured for one column and the upgrade that was under way."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Literal[1] = 1
    column: str
    encoder: str
    """The new encoder."""
    target: str
    """The collection in which the vectors are made anew."""
    started: str
    """When the upgrade began, in UTC."""
    rows: _Count
    copied: _Count
    """Rows that had new vectors at the time, about."""
    queries: _Count
    old: Reading
    fused: Reading

    @property
    def fuses(self) -> bool:
        """Whether fused reading found more."""
        return self.fused.reciprocal_rank > self.old.reciprocal_rank

    @property
    def words(self) -> str:
        """Both readings in a clause."""
        return (
            f"MRR@10 {self.old.reciprocal_rank:.3f} by the old vectors, "
            f"{self.fused.reciprocal_rank:.3f} fused, over {self.queries} queries"
        )


def stored_reading(table: Table, column: str, upgrade: RecordedUpgrade) -> ReadingStatistics | None:
    """The statistics of a column for this upgrade; None if there are none, or they are of another one."""
    text = table.properties.get(READING_PREFIX + column)
    statistics = None if text is None else _load(str(text))
    if statistics is None or statistics.column != column:
        return None
    measured = (statistics.encoder, statistics.target, statistics.started)
    return statistics if measured == (upgrade.encoder, upgrade.target, upgrade.started) else None


@lru_cache(maxsize=64)
def _load(text: str) -> ReadingStatistics | None:
    if len(text) > _MAX_BYTES:
        return None
    try:
        return ReadingStatistics.model_validate_json(text)
    except ValidationError:
        return None
