"""Pictures alone: what a vision checkpoint makes of them, pooled to a vector each."""

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
from nestvec_exporters.graph.recurrent_pooling import frame_pooling
from nestvec_exporters.graph.tower import Loaded
from nestvec_exporters.options import ExportOptions, Overrides
from nestvec_exporters.vision.image_pooling import POOLING, Pool
from nestvec_exporters.vision.image_tower import (
    ImageTower,
    attention_of,
    image_half,
    patch_of,
    read_preprocessing,
    read_processor,
)
from nestvec_exporters.vision.timm_models import Processor, check_vector, patch_edge, read_network
from nestvec_schemas.errors import CheckpointUnsupported, nearest
from nestvec_schemas.preprocessing.pixels import Picture


class Pooled(nn.Module):
    """Pixel values, (n, 3, height, width) float32, to vectors, (n, dim)."""

    def __init__(self, model: nn.Module, pool: Pool, patches: int) -> None:
        super().__init__()
        self.model, self.pool, self.patches = model, pool, patches

    def forward(self, values: Tensor) -> Tensor:
        """A vector a picture."""
        vectors = self.pool(self.model(pixel_values=values), self.patches)
        assert vectors is not None  # noqa: S101 - tried when it was chosen
        return vectors


def load(checkpoint: Checkpoint, options: ExportOptions) -> Loaded:
    """Load the weights. Raises CheckpointUnsupported where they give no vector of a picture."""
    folder = checkpoint.folder
    tower = (_of_timm if is_timm(read_config(folder)) else _of_transformers)(folder, options.overrides)
    dim = _dim(tower.module, tower.how.picture)
    recurrent = frame_pooling(folder, dim)
    if recurrent is not None:
        asked, dim = options.overrides.frames, recurrent.dim
        tower = replace(
            tower,
            pooling=f"{tower.pooling}+{recurrent.name}",
            frames=asked if asked > 1 else recurrent.frames,
            recurrent=recurrent,
        )
    return Loaded(kind="dense", dim=dim, normalised=False, halves={"image": image_half(tower)})


def _of_transformers(folder: Path, asked: Overrides) -> ImageTower:
    from transformers import AutoModel  # noqa: PLC0415 - slow

    how, processor = read_preprocessing(folder), read_processor(folder)
    model, missing = read_model(AutoModel, folder)
    # What was trained to classify has no pooler where its classifier reads a token.
    check_complete(tuple(name for name in missing if "pooler" not in name.split(".")))
    module, pooling = pooled(model, how.picture, asked.pooling, has_pooler=not missing)
    heads, hidden = attention_of(model.config)
    return ImageTower(
        module=module,
        processor=processor,
        how=how,
        pooling=pooling,
        unit=False,
        frames=asked.frames,
        patch=patch_of(model.config),
        heads=heads,
        hidden=hidden,
    )


def _of_timm(folder: Path, asked: Overrides) -> ImageTower:
    if asked.pooling not in (None, "pooler"):
        raise CheckpointUnsupported(
            "a network of timm is pooled as its config.json says",
            value=asked.pooling,
            next_step="Leave --pooling away, or change global_pool there.",
        )
    how, network = read_preprocessing(folder), read_network(folder)
    check_vector(network, how.picture)
    return ImageTower(
        module=network,
        processor=Processor(folder),
        how=how,
        pooling="pooler",
        unit=False,
        frames=asked.frames,
        patch=patch_edge(network) or patch_of(None),
    )


def pooled(model: Any, picture: Picture, asked: str | None, *, has_pooler: bool) -> tuple[Pooled, str]:
    """The model with the pooling asked for, or with the first of POOLING that it has; and that one's name.

    Raises CheckpointUnsupported where it has not what was asked for.
    """
    patch = patch_of(model.config)
    patches = max(1, picture.height // patch) * max(1, picture.width // patch)
    there = [name for name in POOLING if has_pooler or name != "pooler"]
    _hold_positions(model)
    with torch.no_grad():
        found = model(pixel_values=torch.zeros((1, 3, picture.height, picture.width)))
    there = [name for name in there if POOLING[name](found, patches) is not None]
    name = asked or there[0]
    if name not in there:
        raise CheckpointUnsupported(
            "the checkpoint's pictures are not pooled in this way",
            value=asked,
            next_step=f"Choose --pooling {' or '.join(there)}.{nearest(name, there)}",
        )
    return Pooled(model, POOLING[name], patches), name


class _Held:
    """A function's first answer, to every call: the positions of pictures of one size."""

    def __init__(self, own: Callable[..., Tensor]) -> None:
        self._own = own
        self._kept: Tensor | None = None

    def __call__(self, *given: Any, **named: Any) -> Tensor:
        if self._kept is None:
            self._kept = self._own(*given, **named).detach()
        return self._kept


def _hold_positions(model: nn.Module) -> None:
    """Have positions interpolated once, before the trace, and not by an operator that ONNX may lack
    (DINOv2's with registers)."""
    for module in model.modules():
        own = getattr(module, "interpolate_pos_encoding", None)
        if callable(own):
            object.__setattr__(module, "interpolate_pos_encoding", _Held(own))


def _dim(module: nn.Module, picture: Picture) -> int:
    with torch.no_grad():
        return int(module(torch.zeros((1, 3, picture.height, picture.width))).shape[1])
