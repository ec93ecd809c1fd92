"""Batches of a tower's own probes, of several lengths and sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from nestvec_exporters.graph.tower import TowerModel
from nestvec_schemas.preprocessing.collate import Array, pad_rows

_LENGTHS: Final = (64, 5, 131, 302)
_SIZES: Final = (3, 1, 2, 1)
"""How many inputs each batch has. None is the batch that a tower is traced with."""


def probe_batches(tower: TowerModel) -> Iterator[Mapping[str, Array]]:
    """Batches as a service would make them of the first probes, padded on the right, by input's name.

    Texts are as long as the encoder takes, up to 302 tokens.
    """
    probes = list(tower.probes())
    # The last of the texts is longer than any limit; images and messages are among the others.
    places = iter(np.linspace(len(probes) - 1, 0, sum(_SIZES)).astype(int))
    with TemporaryDirectory() as folder:
        tower.save(Path(folder))
        for length, size in zip(_LENGTHS, _SIZES, strict=True):
            longest = [probes[-1]] if length > _LENGTHS[0] else []
            chosen = [*longest, *(probes[place] for place in islice(places, size))][:size]
            batch = pad_rows(tower.rows(Path(folder), chosen, min(length, tower.spec.max_tokens)))
            yield {name: batch[name] for name in tower.example}
