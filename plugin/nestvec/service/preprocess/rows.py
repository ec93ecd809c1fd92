"""One input as its graph takes it, and rows together as a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nestvec.engines.contract import Batch
from nestvec_schemas.preprocessing.collate import Arrays, stacked
from nestvec_schemas.towers import WHOLE


@dataclass(frozen=True)
class Row:
    """An input's arrays by the graph's names, and what it takes.

    ``length`` is what it costs in a batch, in tokens; ``whole`` the same before it was cut.
    """

    arrays: Arrays
    length: int
    whole: int


def text_row(ids: NDArray[np.int64], whole: int | None = None) -> Row:
    """The row of a text's ids, (t,) int64, which had ``whole`` tokens before it was cut."""
    return Row({"input_ids": ids}, len(ids), len(ids) if whole is None else whole)


def assemble(rows: Sequence[Row], exit: int = 0, part: str = WHOLE) -> Batch:
    """Rows of one part of an encoder as a batch for one exit, padded as ``stacked`` does."""
    arrays = stacked([row.arrays for row in rows])
    return Batch(arrays, exit, part, sum(row.length for row in rows))


def pad(rows: Sequence[NDArray[np.int64]], exit: int = 0) -> Batch:
    """Ids of n texts as one batch for one exit, padded on the right with zeros that the mask hides."""
    return assemble([text_row(row) for row in rows], exit)
