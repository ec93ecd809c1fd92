"""Images as transformers' own class of a checkpoint reads them, by its own image processor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from nestvec_exporters.checkpoints.checkpoint import OWN_ARCHITECTURES, Checkpoint
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.timm_config import is_timm
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.image_probes import image_probe_sets
from nestvec_exporters.probes.probe import Probe, ProbeSet
from nestvec_exporters.verify.image_processor import frames_of, processed
from nestvec_exporters.verify.library_model import open_model
from nestvec_exporters.verify.reference import Reference
from nestvec_exporters.vision.image_tower import read_processor
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.towers import Tower

ImageVectors = Callable[[Mapping[str, Tensor]], Tensor]
"""What a processor gives for n images to their vectors, (n, dim)."""


class ImageReference(Reference):
    """One vector per image, or the mean of those of its frames."""

    def __init__(
        self, library: str, processor: Any, vectors: ImageVectors, spec: Tower, *, normalised: bool
    ) -> None:
        self.library = library
        self.processor, self.vectors = processor, vectors
        self.frames, self.normalised = spec.frames, normalised

    def probe_sets(self, max_tokens: int, *, full: bool) -> Sequence[ProbeSet]:
        """Images of all kinds."""
        return image_probe_sets(self.frames, full=full)

    def encode(self, probes: Sequence[Probe], *, batch: int, prompts: Mapping[str, str]) -> list[Array]:
        """Vectors, (dim,) each: of images of one size, all in one batch."""
        return [self._vector(probe.value) for probe in probes]

    def _vector(self, value: Any) -> Array:
        with torch.inference_mode():
            vectors = self._unit(self.vectors(processed(self.processor, frames_of(value))).float())
            mean = self._unit(vectors.mean(dim=0, keepdim=True)) if len(vectors) > 1 else vectors
        return np.asarray(mean[0].numpy(), np.float32)

    def _unit(self, vectors: Tensor) -> Tensor:
        return nn.functional.normalize(vectors, dim=1) if self.normalised else vectors


def open_references(
    checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions
) -> dict[str, Reference]:
    """The reference of the image tower; none for classes that transformers lacks."""
    files, spec = CheckpointFiles(checkpoint.folder), loaded.towers["image"].spec
    recurrent = "frame_mask" in spec.inputs
    if recurrent or is_timm(files.config) or files.model_type in OWN_ARCHITECTURES:
        return {}
    model = open_model(transformers.AutoModel, checkpoint.folder)
    pool = _POOLS[spec.pooling]

    def vectors(tensors: Mapping[str, Tensor]) -> Tensor:
        return pool(model, model(pixel_values=tensors["pixel_values"].float()))

    library = f"transformers {transformers.__version__} ({type(model).__name__})"
    processor = read_processor(checkpoint.folder)
    return {"image": ImageReference(library, processor, vectors, spec, normalised=loaded.normalised)}


def _pooler(model: Any, output: Any) -> Tensor:
    pooled: Tensor = output.pooler_output
    return pooled.flatten(1)


def _first(model: Any, output: Any) -> Tensor:
    tokens: Tensor = output.last_hidden_state
    return tokens[:, 0]


def _mean(model: Any, output: Any) -> Tensor:
    """Over the patches: without the class token and registers before them."""
    states: Tensor = output.last_hidden_state
    if states.ndim == 4:
        return states.flatten(2).mean(dim=2)
    embeddings = getattr(model, "embeddings", None)
    first = int(getattr(embeddings, "cls_token", None) is not None)
    first += int(getattr(embeddings, "distillation_token", None) is not None)
    first += int(getattr(model.config, "num_register_tokens", 0) or 0)
    return states[:, first:].mean(dim=1)


_POOLS: Final[Mapping[str, Callable[[Any, Any], Tensor]]] = {
    "pooler": _pooler,
    "cls": _first,
    "mean": _mean,
}
