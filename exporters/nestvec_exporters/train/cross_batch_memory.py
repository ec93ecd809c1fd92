"""The documents' vectors as the student last gave them (a cross-batch memory, Wang et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nestvec_exporters.train.student import Found
from nestvec_exporters.training_data import Places
from nestvec_schemas.vectors import Vectors

_COMPARED = 2048
"""Remembered documents that a step compares its texts with, beside its own."""


class Memory:
    """``documents`` are places in ``Prepared.items``; before a document was seen, ``start`` is its vector.

    ``start`` is (m, dim) float32, one row a document, the same for each of ``layers``.
    """

    def __init__(
        self, documents: Places, start: Vectors, layers: Sequence[int], device: torch.device
    ) -> None:
        self._documents = documents
        self.vectors = {layer: torch.from_numpy(start.copy()).to(device) for layer in layers}

    def slots(self, places: Places) -> Places:
        """Where the documents of these places are remembered."""
        return np.searchsorted(self._documents, places)

    def places(self, slots: Places) -> Places:
        """The documents that are remembered there."""
        found: Places = self._documents[slots]
        return found

    def take(self, places: Places, found: Found) -> None:
        """Remember new vectors of documents."""
        slots = torch.from_numpy(self.slots(places))
        for layer, vectors in self.vectors.items():
            vectors[slots.to(vectors.device)] = found[layer].detach()

    def others(self, places: Places, draw: np.random.Generator) -> Places:
        """Slots of documents by chance, none of them of ``places``."""
        free = np.setdiff1d(np.arange(len(self._documents)), self.slots(places))
        return draw.choice(free, min(_COMPARED, len(free)), replace=False)

    def deep(self, places: Places) -> Vectors:
        """The vectors of documents at full depth, (n, dim)."""
        vectors = next(iter(self.vectors.values()))
        found: Vectors = vectors[torch.from_numpy(self.slots(places)).to(vectors.device)].cpu().numpy()
        return found

    def state(self) -> dict[str, Tensor]:
        """All vectors, by layer, to be saved."""
        return {str(layer): vectors.cpu() for layer, vectors in self.vectors.items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take what ``state`` gave."""
        for layer, vectors in self.vectors.items():
            vectors.copy_(state[str(layer)])
