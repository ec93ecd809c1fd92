"""Images alone: what a vision checkpoint makes of them, pooled to one vector each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.layout import read_config
from nestvec_exporters.checkpoints.timm_config import is_timm
from nestvec_exporters.checkpoints.weights import check_complete, read_model
from nestvec_exporters.graph.recurrent_pooling import read_frame_pooling
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions, Overrides
from nestvec_exporters.vision.image_pooling import VISION_POOLING, VisionPool
from nestvec_exporters.vision.image_tower import (
    ImageModel,
    ImageTower,
    attention_shape,
    patch_edge,
    read_preprocessing,
    read_processor,
)
from nestvec_exporters.vision.timm_models import TimmProcessor, check_vector, read_network, timm_patch_edge
from nestvec_schemas.errors import CheckpointUnsupported, nearest
from nestvec_schemas.preprocessing.pixels import ImageTransform


class PooledVisionModel(nn.Module):
    """Pixel values, (n, 3, height, width) float32, to vectors, (n, dim)."""

    def __init__(self, model: nn.Module, pool: VisionPool, patches: int) -> None:
        super().__init__()
        self.model, self.pool, self.patches = model, pool, patches

    def forward(self, values: Tensor) -> Tensor:
        """One vector per image."""
        vectors = self.pool(self.model(pixel_values=values), self.patches)
        assert vectors is not None  # noqa: S101 - tried when it was chosen
        return vectors


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Load the weights. Raises CheckpointUnsupported where they give no vector of an image."""
    folder = checkpoint.folder
    model = (_timm_model if is_timm(read_config(folder)) else _transformers_model)(folder, options.overrides)
    dim = _dim(model.module, model.preprocessing.transform)
    recurrent = read_frame_pooling(folder, dim)
    if recurrent is not None:
        frames, dim = options.overrides.frames, recurrent.dim
        model = replace(
            model,
            pooling=f"{model.pooling}+{recurrent.name}",
            frames=frames if frames > 1 else recurrent.frames,
            recurrent=recurrent,
        )
    return LoadedCheckpoint(kind="dense", dim=dim, normalised=False, towers={"image": ImageTower(model)})


def _transformers_model(folder: Path, overrides: Overrides) -> ImageModel:
    from transformers import AutoModel  # noqa: PLC0415 - slow

    preprocessing, processor = read_preprocessing(folder), read_processor(folder)
    model, missing = read_model(AutoModel, folder)
    # What was trained to classify has no pooler where its classifier reads a token.
    check_complete(tuple(name for name in missing if "pooler" not in name.split(".")))
    module, pooling = with_pooling(model, preprocessing.transform, overrides.pooling, has_pooler=not missing)
    heads, hidden = attention_shape(model.config)
    return ImageModel(
        module=module,
        processor=processor,
        preprocessing=preprocessing,
        pooling=pooling,
        normalised=False,
        frames=overrides.frames,
        patch=patch_edge(model.config),
        heads=heads,
        hidden=hidden,
    )


def _timm_model(folder: Path, overrides: Overrides) -> ImageModel:
    if overrides.pooling not in (None, "pooler"):
        raise CheckpointUnsupported(
            "a network of timm is pooled as its config.json says",
            value=overrides.pooling,
            next_step="Omit --pooling, or change global_pool there.",
        )
    preprocessing, network = read_preprocessing(folder), read_network(folder)
    check_vector(network, preprocessing.transform)
    return ImageModel(
        module=network,
        processor=TimmProcessor(folder),
        preprocessing=preprocessing,
        pooling="pooler",
        normalised=False,
        frames=overrides.frames,
        patch=timm_patch_edge(network) or patch_edge(None),
    )


def with_pooling(
    model: Any, transform: ImageTransform, requested: str | None, *, has_pooler: bool
) -> tuple[PooledVisionModel, str]:
    """The model with the requested pooling, or with the first of VISION_POOLING that it has, and its name.

    Raises CheckpointUnsupported where it does not have the requested one.
    """
    patch = patch_edge(model.config)
    patches = max(1, transform.height // patch) * max(1, transform.width // patch)
    available = [name for name in VISION_POOLING if has_pooler or name != "pooler"]
    _freeze_positions(model)
    with torch.no_grad():
        output = model(pixel_values=torch.zeros((1, 3, transform.height, transform.width)))
    available = [name for name in available if VISION_POOLING[name](output, patches) is not None]
    name = requested or available[0]
    if name not in available:
        raise CheckpointUnsupported(
            "the checkpoint's images cannot be pooled this way",
            value=requested,
            next_step=f"Choose --pooling {' or '.join(available)}.{nearest(name, available)}",
        )
    return PooledVisionModel(model, VISION_POOLING[name], patches), name


class _FirstResult:
    """A function's first answer, to every call: the positions of images of one size."""

    def __init__(self, own: Callable[..., Tensor]) -> None:
        self._own = own
        self._kept: Tensor | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        if self._kept is None:
            self._kept = self._own(*args, **kwargs).detach()
        return self._kept


def _freeze_positions(model: nn.Module) -> None:
    """Interpolate positions once, before the trace, because ONNX may lack the operator (DINOv2 with
    registers)."""
    for module in model.modules():
        own = getattr(module, "interpolate_pos_encoding", None)
        if callable(own):
            object.__setattr__(module, "interpolate_pos_encoding", _FirstResult(own))


def _dim(module: nn.Module, transform: ImageTransform) -> int:
    with torch.no_grad():
        return int(module(torch.zeros((1, 3, transform.height, transform.width))).shape[1])
