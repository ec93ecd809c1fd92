"""One input as its graph takes it, and rows together as a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nestvec.engines.contract import Array, Batch
from nestvec_schemas.towers import WHOLE


@dataclass(frozen=True)
class Row:
    """An input's arrays by the graph's names, without the batch's axis; what is shorter is padded on it.

    ``length`` is what it costs in a batch, in tokens; ``whole`` the same before it was cut.
    """

    arrays: Mapping[str, Array]
    length: int
    whole: int


def text_row(ids: NDArray[np.int64], whole: int | None = None) -> Row:
    """The row of a text's ids, (t,) int64, which had ``whole`` tokens before it was cut."""
    return Row({"input_ids": ids}, len(ids), len(ids) if whole is None else whole)


def assemble(rows: Sequence[Row], exit: int = 0, part: str = WHOLE) -> Batch:
    """Rows of one part of an encoder as a batch for one exit, padded with zeros behind.

    Where rows bring ids and no mask, the mask is 1 on ids and 0 on padding.
    """
    arrays = {name: _padded([row.arrays[name] for row in rows]) for name in rows[0].arrays}
    if "input_ids" in arrays and "attention_mask" not in arrays:
        places = np.arange(arrays["input_ids"].shape[1])
        lengths = np.array([len(row.arrays["input_ids"]) for row in rows])
        arrays["attention_mask"] = (places < lengths[:, None]).astype(np.int64)
    return Batch(arrays, exit, part, sum(row.length for row in rows))


def pad(rows: Sequence[NDArray[np.int64]], exit: int = 0) -> Batch:
    """Ids of n texts as one batch for one exit, padded on the right with zeros that the mask hides."""
    return assemble([text_row(row) for row in rows], exit)


def _padded(arrays: Sequence[Array]) -> Array:
    """Arrays that differ at most in their first axis, one below the other: (n, longest, …)."""
    longest = max(len(one) for one in arrays)
    padded = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), arrays[0].dtype)
    for line, one in enumerate(arrays):
        padded[line, : len(one)] = one
    return padded
