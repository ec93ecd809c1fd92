"""Pictures in their own shapes: the image tower of SigLIP 2's NaFlex (Tschannen et al. 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from nestvec_exporters.checkpoints.layout import read_json
from nestvec_exporters.graph.tower import Half
from nestvec_exporters.graph.triton import OUTPUT
from nestvec_exporters.probes import images
from nestvec_exporters.vision.image_tower import PREPROCESSING, attention_of, opened, read_processor
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.preprocessing.patches import PATCHES, SHAPES, Patching, patched
from nestvec_schemas.preprocessing.pixels import coloured, on_background
from nestvec_schemas.towers import Tower

_INPUTS: Final = (PATCHES, "attention_mask", SHAPES)


class _Head(nn.Module):
    """The attention that pools patches, written out: torch's own is traced for one number of patches."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head, self.heads = head, head.num_heads

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(n, p, dim) and their mask, (n, p), to (n, dim)."""
        attention = self.head.attention
        weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
        query, key, value = (
            self._split(nn.functional.linear(one, weight, bias))
            for one, weight, bias in zip((self.head.probe, states, states), weights, biases, strict=True)
        )
        scores = query @ key.transpose(-1, -2) * key.shape[-1] ** -0.5
        lowest = torch.finfo(scores.dtype).min
        scores = scores.masked_fill(mask[:, None, None] == 0, lowest)
        seen = attention.out_proj((torch.softmax(scores, dim=-1) @ value).transpose(1, 2).flatten(2))
        found: Tensor = (seen + self.head.mlp(self.head.layernorm(seen)))[:, 0]
        return found

    def _split(self, vectors: Tensor) -> Tensor:
        rows, places, width = vectors.shape
        return vectors.reshape(rows, places, self.heads, width // self.heads).transpose(1, 2)


class _Eyes(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.head = model.vision_model, _Head(model.vision_model.head)

    def forward(self, values: Tensor, mask: Tensor, shapes: Tensor) -> Tensor:
        """The vector of each picture."""
        states = self.model(
            pixel_values=values, pixel_attention_mask=mask, spatial_shapes=shapes
        ).last_hidden_state
        found: Tensor = self.head(states, mask)
        return found


class NaflexGraph(nn.Module):
    """Patches, (n, p, edge, edge, 3) uint8, their mask, (n, p) int64, and rows and columns of each picture,
    (n, 2) int64, to vectors of length 1, (n, dim) float32."""

    scale: Tensor
    shift: Tensor

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.transformer = _Eyes(model)
        scale = processor.rescale_factor if processor.do_rescale else 1.0
        mean, std = (processor.image_mean, processor.image_std) if processor.do_normalize else (0.0, 1.0)
        spread = np.broadcast_to(np.asarray(std, np.float64), 3)
        self.register_buffer("scale", torch.tensor(scale / spread, dtype=torch.float32))
        self.register_buffer("shift", torch.tensor(-np.asarray(mean) / spread, dtype=torch.float32))

    def forward(self, patches: Tensor, attention_mask: Tensor, spatial_shapes: Tensor) -> tuple[Tensor]:
        """A vector a picture."""
        values = (patches.to(torch.float32) * self.scale + self.shift).flatten(2)
        vectors = self.transformer(values, attention_mask, spatial_shapes)
        return (nn.functional.normalize(vectors, p=2.0, dim=1),)


def naflex_half(model: Any, folder: Path) -> Half:
    """The tower, ready to be traced and compared. Raises CheckpointUnsupported."""
    processor = read_processor(folder)
    how = _patching(processor, model.config.vision_config)
    heads, hidden = attention_of(model.config.vision_config)
    return Half(
        tower=Tower(inputs=_INPUTS, output=OUTPUT, pooling="attention", max_tokens=how.most, patching=how),
        build=lambda exits: NaflexGraph(model, processor),
        example=_example(how),
        axes={PATCHES: {1: "patches"}, "attention_mask": {1: "patches"}},
        rows=partial(patch_rows, how),
        reference=partial(_reference, model, processor, how),
        probes=images.pictures,
        heads=heads,
        hidden=hidden,
    )


def patch_rows(how: Patching, folder: Path, inputs: Sequence[Any], tokens: int) -> list[Arrays]:
    """Pictures, or the paths and ``file:`` addresses of some, to rows of patches. Raises SampleUnusable."""
    return [patched(opened(one), how) for one in inputs]


def is_naflex(folder: Path) -> bool:
    """Whether the checkpoint's image processor keeps a picture's shape."""
    kinds = (str(_told(folder / name).get("image_processor_type", "")) for name in PREPROCESSING)
    return any(kind.startswith("Siglip2") for kind in kinds)


def _told(path: Path) -> Mapping[str, Any]:
    read = read_json(path) if path.is_file() else {}
    told = read.get("image_processor", read) if isinstance(read, dict) else {}
    return told if isinstance(told, dict) else {}


def _patching(processor: Any, config: Any) -> Patching:
    edge, most = processor.patch_size, processor.max_num_patches
    if edge != config.patch_size or config.num_channels != 3 or not processor.do_resize:
        raise CheckpointUnsupported(
            "the checkpoint's pictures are not cut into the patches that its network reads",
            value=f"{edge} pixels, and {config.patch_size}, resized: {processor.do_resize}",
            next_step="Correct patch_size and do_resize in its preprocessor_config.json.",
        )
    resample = Image.Resampling(processor.resample).name.lower()
    return Patching.model_validate({"edge": edge, "most": most, "resample": resample})


def _example(how: Patching) -> dict[str, Tensor]:
    """Two pictures, one of them with padding behind it: a trace keeps a mask only where it masks."""
    patches = torch.zeros((2, 6, how.edge, how.edge, 3), dtype=torch.uint8)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    return {PATCHES: patches, "attention_mask": mask, SHAPES: torch.tensor([[2, 3], [1, 4]])}


def _reference(model: Any, processor: Any, how: Patching, inputs: Sequence[Any], tokens: int) -> Array:
    """The checkpoint's own vectors, (n, dim) float32, one picture at a time, by its own processor."""
    found = []
    with torch.no_grad():
        for given in inputs:
            flat = on_background(coloured(opened(given)), how.background)
            told = processor(flat)
            values, mask, shapes = (
                torch.as_tensor(np.asarray(told[name]))
                for name in ("pixel_values", "pixel_attention_mask", "spatial_shapes")
            )
            vectors = model.vision_model(
                pixel_values=values.float(), pixel_attention_mask=mask, spatial_shapes=shapes
            ).pooler_output
            found.append(nn.functional.normalize(vectors, p=2.0, dim=1)[0].numpy())
    return np.stack(found)
