"""Rows of any length as the arrays of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = Mapping[str, Array]
"""An input's arrays by the names of the graph's inputs, without the batch axis."""

_MASK: Final = "attention_mask"


def pad_rows(rows: Sequence[Arrays]) -> dict[str, Array]:
    """Rows as one batch: each array with a batch axis in front, padded with zeros at its end.

    A text without tokens is one position of padding: engines do not accept axes of length 0. Arrays of one
    name have the same number of axes. Where a row has ``input_ids`` and no mask, its ``attention_mask`` is 1
    for ids and 0 for padding, (n, t) int64.
    """
    arrays = {name: _pad_arrays([row[name] for row in rows]) for name in rows[0] if name != _MASK}
    if any(_MASK in row for row in rows):
        masks = [row[_MASK] if _MASK in row else np.ones(len(row["input_ids"]), np.int64) for row in rows]
        arrays[_MASK] = _pad_arrays(masks)
    elif "input_ids" in arrays:
        places = np.arange(arrays["input_ids"].shape[1])
        lengths = np.array([len(row["input_ids"]) for row in rows])
        arrays[_MASK] = (places < lengths[:, None]).astype(np.int64)
    return arrays


def _pad_arrays(arrays: Sequence[Array]) -> Array:
    longest = [max(sizes) for sizes in zip(*(array.shape for array in arrays), strict=True)]
    longest[0] = max(1, longest[0])
    padded = np.zeros((len(arrays), *longest), arrays[0].dtype)
    for row, array in enumerate(arrays):
        region: tuple[Any, ...] = (row, *map(slice, array.shape))
        padded[region] = array
    return padded
