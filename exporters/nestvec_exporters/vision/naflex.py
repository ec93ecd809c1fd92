"""Images in their own shapes: the image tower of SigLIP 2's NaFlex (Tschannen et al. 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from nestvec_exporters.checkpoints.layout import read_json
from nestvec_exporters.graph.tensors import OUTPUT
from nestvec_exporters.graph.tower import TowerModel
from nestvec_exporters.probes.images import probe_images
from nestvec_exporters.vision.image_tower import (
    PREPROCESSING_FILES,
    attention_shape,
    load_image,
    read_processor,
)
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.preprocessing.patches import PATCHES, SPATIAL_SHAPES, Patching, image_patches
from nestvec_schemas.preprocessing.pixels import flatten_transparency, to_8bit_color
from nestvec_schemas.towers import Tower

_INPUTS: Final = (PATCHES, "attention_mask", SPATIAL_SHAPES)


class _PoolingHead(nn.Module):
    """The attention that pools patches, written out: torch's own is traced for one number of patches."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head, self.heads = head, head.num_heads

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(n, p, dim) and their mask, (n, p), to (n, dim)."""
        attention = self.head.attention
        weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
        query, key, value = (
            self._split(nn.functional.linear(states_, weight, bias))
            for states_, weight, bias in zip((self.head.probe, states, states), weights, biases, strict=True)
        )
        scores = query @ key.transpose(-1, -2) * key.shape[-1] ** -0.5
        lowest = torch.finfo(scores.dtype).min
        scores = scores.masked_fill(mask[:, None, None] == 0, lowest)
        attended = attention.out_proj((torch.softmax(scores, dim=-1) @ value).transpose(1, 2).flatten(2))
        pooled: Tensor = (attended + self.head.mlp(self.head.layernorm(attended)))[:, 0]
        return pooled

    def _split(self, vectors: Tensor) -> Tensor:
        rows, places, width = vectors.shape
        return vectors.reshape(rows, places, self.heads, width // self.heads).transpose(1, 2)


class _VisionModel(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.head = model.vision_model, _PoolingHead(model.vision_model.head)

    def forward(self, values: Tensor, mask: Tensor, shapes: Tensor) -> Tensor:
        """The vector of each image."""
        states = self.model(
            pixel_values=values, pixel_attention_mask=mask, spatial_shapes=shapes
        ).last_hidden_state
        pooled: Tensor = self.head(states, mask)
        return pooled


class NaflexGraph(nn.Module):
    """Patches, (n, p, edge, edge, 3) uint8, their mask, (n, p) int64, and rows and columns of each image,
    (n, 2) int64, to vectors of length 1, (n, dim) float32."""

    scale: Tensor
    shift: Tensor

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.transformer = _VisionModel(model)
        scale = processor.rescale_factor if processor.do_rescale else 1.0
        mean, std = (processor.image_mean, processor.image_std) if processor.do_normalize else (0.0, 1.0)
        spread = np.broadcast_to(np.asarray(std, np.float64), 3)
        self.register_buffer("scale", torch.tensor(scale / spread, dtype=torch.float32))
        self.register_buffer("shift", torch.tensor(-np.asarray(mean) / spread, dtype=torch.float32))

    def forward(self, patches: Tensor, attention_mask: Tensor, spatial_shapes: Tensor) -> tuple[Tensor]:
        """One vector per image."""
        values = (patches.to(torch.float32) * self.scale + self.shift).flatten(2)
        vectors = self.transformer(values, attention_mask, spatial_shapes)
        return (nn.functional.normalize(vectors, p=2.0, dim=1),)


class NaflexTower(TowerModel):
    """A tower that reads each image in its own shape. Raises CheckpointUnsupported."""

    def __init__(self, model: Any, folder: Path) -> None:
        config = model.config.vision_config
        self.model, self.processor = model, read_processor(folder)
        self.patching = _patching(self.processor, config)
        self.heads, self.hidden = attention_shape(config)
        self.spec = Tower(
            inputs=_INPUTS,
            output=OUTPUT,
            pooling="attention",
            max_tokens=self.patching.most,
            patching=self.patching,
        )
        self.example = _example(self.patching)
        self.dynamic_axes = {PATCHES: {1: "patches"}, "attention_mask": {1: "patches"}}

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """Patches to vectors."""
        return NaflexGraph(self.model, self.processor).eval()

    def rows(self, folder: Path, inputs: Sequence[Any], max_tokens: int) -> list[Arrays]:
        """Images to rows of patches. Raises SampleUnusable."""
        return patch_rows(self.patching, inputs)

    def reference(self, inputs: Sequence[Any], max_tokens: int) -> Array:
        """The checkpoint's own vectors, (n, dim) float32, one image at a time, by its own processor."""
        vectors = []
        with torch.no_grad():
            for image in inputs:
                flat = flatten_transparency(to_8bit_color(load_image(image)), self.patching.background)
                processed = self.processor(flat)
                values, mask, shapes = (
                    torch.as_tensor(np.asarray(processed[name]))
                    for name in ("pixel_values", "pixel_attention_mask", "spatial_shapes")
                )
                pooled = self.model.vision_model(
                    pixel_values=values.float(), pixel_attention_mask=mask, spatial_shapes=shapes
                ).pooler_output
                vectors.append(nn.functional.normalize(pooled, p=2.0, dim=1)[0].numpy())
        return np.stack(vectors)

    def probes(self) -> Sequence[Any]:
        """Images of many shapes."""
        return probe_images()


def patch_rows(patching: Patching, inputs: Sequence[Any]) -> list[Arrays]:
    """Images, or the paths and ``file:`` addresses of some, to rows of patches. Raises SampleUnusable."""
    return [image_patches(load_image(image), patching) for image in inputs]


def is_naflex(folder: Path) -> bool:
    """Whether the checkpoint's image processor keeps an image's shape."""
    kinds = (
        str(_processor_config(folder / name).get("image_processor_type", "")) for name in PREPROCESSING_FILES
    )
    return any(kind.startswith("Siglip2") for kind in kinds)


def _processor_config(path: Path) -> Mapping[str, Any]:
    read = read_json(path) if path.is_file() else {}
    config = read.get("image_processor", read) if isinstance(read, dict) else {}
    return config if isinstance(config, dict) else {}


def _patching(processor: Any, config: Any) -> Patching:
    edge, most = processor.patch_size, processor.max_num_patches
    if edge != config.patch_size or config.num_channels != 3 or not processor.do_resize:
        raise CheckpointUnsupported(
            "the checkpoint's preprocessing does not cut images into the patches that its network reads",
            value=f"{edge} pixels, and {config.patch_size}, resized: {processor.do_resize}",
            next_step="Correct patch_size and do_resize in its preprocessor_config.json.",
        )
    resample = Image.Resampling(processor.resample).name.lower()
    return Patching.model_validate({"edge": edge, "most": most, "resample": resample})


def _example(patching: Patching) -> dict[str, Array]:
    """Two images, one of them with padding behind it: a trace keeps a mask only where it masks."""
    patches = np.zeros((2, 6, patching.edge, patching.edge, 3), np.uint8)
    mask = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    return {PATCHES: patches, "attention_mask": mask, SPATIAL_SHAPES: np.array([[2, 3], [1, 4]])}
