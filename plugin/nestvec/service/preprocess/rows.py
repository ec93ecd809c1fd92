"""One input as its graph takes it, and rows together as a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nestvec.engines.contract import Batch
from nestvec_schemas.preprocessing.collate import Arrays, pad_rows
from nestvec_schemas.towers import MAIN_PART


@dataclass(frozen=True)
class ModelInput:
    """An input's arrays by the graph's names, and what it takes.

    ``length`` is what it costs in a batch, in tokens; ``whole`` the same before it was cut.
    """

    arrays: Arrays
    length: int
    whole: int


def text_input(ids: NDArray[np.int64], total: int | None = None) -> ModelInput:
    """The row of a text's ids, (t,) int64, which had ``whole`` tokens before it was cut."""
    return ModelInput({"input_ids": ids}, len(ids), len(ids) if total is None else total)


def collate(rows: Sequence[ModelInput], exit: int = 0, part: str = MAIN_PART) -> Batch:
    """Rows of one part of an encoder as a batch for one exit, padded as ``stacked`` does."""
    arrays = pad_rows([row.arrays for row in rows])
    return Batch(arrays, exit, part, sum(row.length for row in rows))


def collate_ids(rows: Sequence[NDArray[np.int64]], exit: int = 0) -> Batch:
    """Ids of n texts as one batch for one exit, padded on the right with zeros that the mask hides."""
    return collate([text_input(row) for row in rows], exit)
