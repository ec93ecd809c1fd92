"""The documents' vectors as the student last computed them (cross-batch memory, Wang et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nestvec_exporters.train.student import VectorsByLayer
from nestvec_exporters.training_data import Indices
from nestvec_schemas.vectors import Vectors

_MAX_SAMPLED = 2048
"""The most remembered documents that a step compares its texts with, besides its own."""


class CrossBatchMemory:
    """Vectors of ``documents``, sorted indices of ``PreparedTexts.texts``, at each of ``layers``.

    ``start``, (m, dim) float32, has their vectors at every layer until the first update.
    """

    def __init__(
        self, documents: Indices, start: Vectors, layers: Sequence[int], device: torch.device
    ) -> None:
        self._documents = documents
        self.vectors = {layer: torch.from_numpy(start.copy()).to(device) for layer in layers}

    def slots(self, documents: Indices) -> Indices:
        """The slots of documents."""
        return np.searchsorted(self._documents, documents)

    def documents_at(self, slots: Indices) -> Indices:
        """The documents in slots."""
        documents: Indices = self._documents[slots]
        return documents

    def update(self, documents: Indices, vectors_by_layer: VectorsByLayer) -> None:
        """Replace the vectors of documents."""
        slots = torch.from_numpy(self.slots(documents))
        for layer, vectors in self.vectors.items():
            vectors[slots.to(vectors.device)] = vectors_by_layer[layer].detach()

    def sample_other_slots(self, documents: Indices, rng: np.random.Generator) -> Indices:
        """Random slots of other documents."""
        free = np.setdiff1d(np.arange(len(self._documents)), self.slots(documents))
        return rng.choice(free, min(_MAX_SAMPLED, len(free)), replace=False)

    def full_depth_vectors(self, documents: Indices) -> Vectors:
        """The vectors of documents at full depth, (n, dim)."""
        vectors = next(iter(self.vectors.values()))
        rows: Vectors = vectors[torch.from_numpy(self.slots(documents)).to(vectors.device)].cpu().numpy()
        return rows

    def state(self) -> dict[str, Tensor]:
        """All vectors by layer, to be saved."""
        return {str(layer): vectors.cpu() for layer, vectors in self.vectors.items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        for layer, vectors in self.vectors.items():
            vectors.copy_(state[str(layer)])
