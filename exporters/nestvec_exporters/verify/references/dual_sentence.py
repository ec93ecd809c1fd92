"""Images as ``SentenceTransformer.encode`` gives them, for checkpoints in sentence-transformers' layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.image_probes import image_probe_sets
from nestvec_exporters.probes.probe import Probe, ProbeSet
from nestvec_exporters.verify.image_processor import frames_of, upright_rgb
from nestvec_exporters.verify.reference import Reference
from nestvec_exporters.verify.references.sentence import SentenceReference
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.towers import Tower


class SentenceImageReference(Reference):
    """``SentenceTransformer.encode`` of images; of several frames, the mean."""

    def __init__(self, model: Any, library: str, spec: Tower, *, normalised: bool) -> None:
        self.model, self.library = model, library
        self.frames, self.normalised = spec.frames, normalised

    def probe_sets(self, max_tokens: int, *, full: bool) -> Sequence[ProbeSet]:
        """Images of all kinds."""
        return image_probe_sets(self.frames, full=full)

    def encode(self, probes: Sequence[Probe], *, batch: int, prompts: Mapping[str, str]) -> list[Array]:
        """Vectors, (dim,) each."""
        return [self._vector(probe.value) for probe in probes]

    def _vector(self, value: Any) -> Array:
        images = [upright_rgb(image) for image in frames_of(value)]
        vectors = np.asarray(self.model.encode(images, show_progress_bar=False), np.float32)
        mean = vectors.mean(axis=0)
        if self.normalised and len(vectors) > 1:
            mean = mean / np.linalg.norm(mean)
        return np.asarray(mean, np.float32)


def sentence_references(
    checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions
) -> dict[str, Reference]:
    """The references of both towers, of one model."""
    text = SentenceReference(checkpoint, options)
    spec = loaded.towers["image"].spec
    image = SentenceImageReference(text.model, text.library, spec, normalised=loaded.normalised)
    return {"text": text, "image": image}
