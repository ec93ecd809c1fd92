"""The exported tower as its own reference, through the service: for kinds that no library runs the same.

It tells what the service makes of an encoder from what nestvec read, not whether nestvec read it rightly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from PIL import Image

from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.probes.probe import Probe, ProbeGroup, ProbeSet
from nestvec_exporters.probes.texts import MAX_PROBE_TOKENS
from nestvec_exporters.verify.reference import Reference
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.towers import Modality

_QUICK: Final = 12
"""Inputs of a quick verification."""

_BATCH: Final = 16
"""Inputs that are embedded together."""

_MAX_CHARACTERS: Final = 4000
"""The longest text for an encoder whose longest one would take minutes."""


class TowerReference(Reference):
    """The tower's own probes, alone and in a batch."""

    library = "none (nestvec's own reading of the checkpoint)"
    independent = False

    def __init__(self, loaded: LoadedCheckpoint, modality: Modality) -> None:
        self.tower = loaded.towers[modality]

    def probe_sets(self, max_tokens: int, *, full: bool) -> Sequence[ProbeSet]:
        """The tower's probes; ``max_tokens`` bounds the texts among them."""
        probes = [probe for value in self.tower.probes() if (probe := _probe(value, max_tokens)) is not None]
        if not full:
            return (ProbeSet(tuple(probes[:: max(1, len(probes) // _QUICK)])),)
        batch = tuple(Probe(probe.value, "batches") for probe in probes[:_BATCH])
        return (ProbeSet(tuple(probes)), ProbeSet(batch, _BATCH))

    def encode(self, probes: Sequence[Probe], *, batch: int, prompts: Mapping[str, str]) -> list[Array]:
        """What the tower gives, one input at a time."""
        values: list[Any] = [probe.value for probe in probes]
        outputs = self.tower.reference(values, self.tower.spec.max_tokens)
        return [np.asarray(output, np.float32) for output in outputs]


def _probe(value: Any, max_tokens: int) -> Probe | None:
    """The probe of a tower's value; None for one that would take too long."""
    if isinstance(value, tuple) and value[0] is None:
        value = value[1]
    if isinstance(value, str):
        long = len(value) > _MAX_CHARACTERS and max_tokens > MAX_PROBE_TOKENS
        return None if long or not value else Probe(value)
    group: ProbeGroup = "images"
    if isinstance(value, tuple) and isinstance(value[-1], str):
        group = "messages" if isinstance(value[0], Image.Image) else "pairs"
    return Probe(value, group)
