"""A tower that reads images: pixels to one vector each, and the vectors of frames to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from nestvec_exporters.checkpoints.layout import read_config, read_json
from nestvec_exporters.checkpoints.timm_config import is_timm
from nestvec_exporters.graph.recurrent_pooling import FramePooling, RecurrentPooling
from nestvec_exporters.graph.tensors import OUTPUT
from nestvec_exporters.graph.tower import TowerModel
from nestvec_exporters.probes.images import probe_images
from nestvec_exporters.vision.image_preprocessing import Preprocessing, parse_preprocessing
from nestvec_exporters.vision.timm_models import TimmProcessor
from nestvec_schemas.errors import CheckpointUnsupported, SampleUnusable
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.preprocessing.frames import FRAME_MASK, pad_frames
from nestvec_schemas.preprocessing.pixels import (
    ImageTransform,
    flatten_transparency,
    image_pixels,
    to_8bit_color,
)
from nestvec_schemas.towers import Tower

PIXELS: Final = "pixels"
PREPROCESSING_FILES: Final = ("preprocessor_config.json", "processor_config.json")
"""The files that say how a checkpoint preprocesses images."""

# The patch edge of ViT-B/16, for towers without patches.
_PATCH = 16


@dataclass(frozen=True)
class ImageModel:
    """What a checkpoint brings to read images with."""

    module: nn.Module
    """Pixel values, (n, 3, height, width) float32, to vectors, (n, dim)."""

    processor: Any
    """The checkpoint's own, from images to pixel values, for comparison."""

    preprocessing: Preprocessing

    pooling: str
    """What the manifest calls the pooling."""

    normalised: bool
    """Whether vectors have length 1."""

    frames: int = 1
    """Images in one input."""

    patch: int = _PATCH
    """The edge in pixels of what costs a token in a batch."""

    heads: int = 0
    """Attention heads; 0 without attention."""

    hidden: int = 0
    """Width of the attention; 0 without attention."""

    recurrent: FramePooling | None = None
    """What reads the vectors of frames in their order; without it they are averaged."""


class ImageGraph(nn.Module):
    """Pixels, (n, height, width, 3) uint8, or (n, frames, height, width, 3), to vectors, (n, dim) float32.

    The vectors of frames are averaged (LRCN's, Donahue et al. 2015), each brought to length 1 before and the
    mean after it if the tower's vectors have that length (CLIP4Clip, Luo et al. 2021). A recurrent pooling
    takes which frames are present, (n, frames) int64, as well.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, model: ImageModel) -> None:
        super().__init__()
        self.transformer = model.module
        self.frames, self.unit = model.frames, model.normalised
        self.recurrent = None if model.recurrent is None else RecurrentPooling(model.recurrent)
        preprocessing = model.preprocessing
        std = np.asarray(preprocessing.std, np.float64)
        shift = (preprocessing.offset - np.asarray(preprocessing.mean, np.float64)) / std
        self.register_buffer("scale", _channels(preprocessing.scale / std))
        self.register_buffer("shift", _channels(shift))

    def forward(self, levels: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor]:
        """One vector per input."""
        if self.frames > 1:
            levels = levels.flatten(0, 1)
        vectors = _unit(self.transformer(self.numbers(levels)), self.unit)
        if self.frames > 1:
            vectors = vectors.view(-1, self.frames, vectors.shape[1])
            if self.recurrent is not None and frame_mask is not None:
                vectors = self.recurrent(vectors, frame_mask)
            else:
                vectors = vectors.mean(dim=1)
            vectors = _unit(vectors, self.unit)
        return (vectors,)

    def numbers(self, levels: Tensor) -> Tensor:
        """Levels, (n, height, width, 3), to what the checkpoint reads, (n, 3, height, width) float32."""
        return levels.permute(0, 3, 1, 2).to(torch.float32) * self.scale + self.shift


class ImageTower(TowerModel):
    """A tower that reads images of one size, or several of them as one input."""

    def __init__(self, model: ImageModel) -> None:
        self.model, self.transform = model, model.preprocessing.transform
        self.heads, self.hidden = model.heads, model.hidden
        height, width = self.transform.height, self.transform.width
        shape = (2, *([model.frames] if model.frames > 1 else []), height, width, 3)
        self.example: dict[str, Array] = {PIXELS: np.zeros(shape, np.uint8)}
        if model.recurrent is not None:
            self.example[FRAME_MASK] = np.ones(shape[:2], np.int64)
        self.dynamic_axes: Mapping[str, Mapping[int, str]] = {}
        patches = max(1, height // model.patch) * max(1, width // model.patch)
        self.spec = Tower(
            inputs=tuple(self.example),
            output=OUTPUT,
            pooling=model.pooling,
            max_tokens=model.frames * patches,
            image_transform=self.transform,
            frames=model.frames,
        )

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """Pixels to vectors, and frames to one."""
        return ImageGraph(self.model).eval()

    def rows(self, folder: Path, inputs: Sequence[Any], max_tokens: int) -> list[Arrays]:
        """Images, or sequences of them, to rows of pixels. Raises SampleUnusable."""
        if self.model.recurrent is not None:
            return frame_rows(self.transform, self.model.frames, inputs)
        return image_rows(self.transform, self.model.frames, inputs)

    def reference(self, inputs: Sequence[Any], max_tokens: int) -> Array:
        """The checkpoint's own vectors, (n, dim) float32, one input at a time, by its own processor."""
        with torch.no_grad():
            return np.stack([self._reference_vector(item) for item in inputs])

    def probes(self) -> Sequence[Any]:
        """Images, or sequences of them; of a tower that reads them in order, shorter ones too."""
        images, frames = probe_images(), self.model.frames
        if frames == 1:
            return images
        shorter = self.model.recurrent is not None
        lengths = [1 + (frames - 1 + at) % frames if shorter else frames for at in range(8)]
        return [
            tuple(images[(at + step) % len(images)] for step in range(length))
            for at, length in enumerate(lengths)
        ]

    def _reference_vector(self, item: Any) -> Array:
        model = self.model
        images = _frames(item, 1 if model.recurrent else model.frames)
        values = [model.processor(self._flattened(image))["pixel_values"][0] for image in images]
        pixels = torch.stack([torch.as_tensor(np.asarray(value)) for value in values]).float()
        vectors = _unit(model.module(pixels), model.normalised)
        pooled = model.recurrent.of(vectors) if model.recurrent else vectors.mean(dim=0, keepdim=True)
        vector: Array = _unit(pooled, model.normalised and model.frames > 1)[0].numpy()
        return vector

    def _flattened(self, image: Any) -> Image.Image:
        """As transformers' processors want it: they disagree about what shines through transparency."""
        return flatten_transparency(to_8bit_color(load_image(image)), self.transform.background)


def read_preprocessing(folder: Path) -> Preprocessing:
    """How a checkpoint preprocesses images. Raises CheckpointUnsupported, also where it does not say."""
    for name in PREPROCESSING_FILES:
        path = folder / name
        config = read_json(path) if path.is_file() else None
        if isinstance(config, dict):
            return parse_preprocessing(config)
    settings = read_config(folder)
    if is_timm(settings):
        return parse_preprocessing(settings)
    raise CheckpointUnsupported(
        "the checkpoint does not say how to preprocess an image",
        value=f"neither {PREPROCESSING_FILES[0]} nor {PREPROCESSING_FILES[1]}",
        next_step="Put it beside the weights: save the image processor with save_pretrained.",
    )


def read_processor(folder: Path) -> Any:
    """The checkpoint's own image processor. Raises CheckpointUnsupported."""
    if is_timm(read_config(folder)):
        return TimmProcessor(folder)
    from transformers import AutoImageProcessor  # noqa: PLC0415 - slow

    kind: Any = AutoImageProcessor  # its functions have no annotations
    backend: Any = {"backend": "pil"} if _is_transformers_5() else {"use_fast": False}
    try:
        # Pillow's resize; torchvision's differs by a level in places.
        return kind.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False, **backend)
    except Exception as error:
        raise CheckpointUnsupported(
            "transformers cannot load the checkpoint's image processor",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Correct its preprocessor_config.json, or choose another checkpoint.",
        ) from error


def patch_edge(config: Any) -> int:
    """The edge in pixels of what costs a token: a transformer's patch; what ViT has, of any other network."""
    patch = getattr(config, "patch_size", None)
    edge = patch[0] if isinstance(patch, list | tuple) and patch else patch
    return edge if isinstance(edge, int) and attention_shape(config)[0] else _PATCH


def attention_shape(config: Any) -> tuple[int, int]:
    """Heads and width of a transformer whose layers are alike; 0 and 0 of any other network."""
    heads, hidden = getattr(config, "num_attention_heads", 0), getattr(config, "hidden_size", 0)
    return (heads, hidden) if isinstance(heads, int) and isinstance(hidden, int) else (0, 0)


def image_rows(transform: ImageTransform, frames: int, inputs: Sequence[Any]) -> list[Arrays]:
    """Inputs to rows of pixels: images, or the paths and ``file:`` addresses of some; of a tower of several
    frames, sequences of them. Raises SampleUnusable for a file that is not an image."""
    rows: list[Arrays] = []
    for item in inputs:
        levels = [image_pixels(load_image(image), transform) for image in _frames(item, frames)]
        rows.append({PIXELS: np.stack(levels) if frames > 1 else levels[0]})
    return rows


def frame_rows(transform: ImageTransform, frames: int, inputs: Sequence[Any]) -> list[Arrays]:
    """The same of a tower that reads at most ``frames`` in their order: which of them are present, too."""
    rows: list[Arrays] = []
    for item in inputs:
        levels = [image_pixels(load_image(image), transform) for image in _frames(item, 1)]
        pixels, frame_mask = pad_frames(levels, frames)
        rows.append({PIXELS: pixels, FRAME_MASK: frame_mask})
    return rows


def _frames(item: Any, frames: int) -> Sequence[Any]:
    """An input's images; one alone stands for all frames."""
    return item if isinstance(item, tuple | list) else (item,) * frames


def load_image(source: Any) -> Image.Image:
    """An image, or what lies at a path or a ``file:`` address. Raises SampleUnusable."""
    if isinstance(source, Image.Image):
        return source
    path = Path(unquote(urlsplit(source).path)) if str(source).startswith("file:") else Path(source)
    try:
        with Image.open(path) as image:
            return to_8bit_color(image).copy()
    except OSError as error:
        raise SampleUnusable(
            "this encoder reads images, and the sample has something else",
            value=str(source)[:80],
            next_step="Give a sample whose texts are paths or file: addresses of images.",
        ) from error


def _channels(values: Array) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).view(1, 3, 1, 1)


def _unit(vectors: Tensor, unit: bool) -> Tensor:
    return nn.functional.normalize(vectors, p=2.0, dim=1) if unit else vectors


def _is_transformers_5() -> bool:
    import transformers  # noqa: PLC0415

    return int(transformers.__version__.partition(".")[0]) >= 5
