"""A tower that reads pictures: levels become numbers in the graph, a picture a vector, frames their mean or
what a recurrent network makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from nestvec_exporters.checkpoints.layout import read_config, read_json
from nestvec_exporters.checkpoints.timm_config import is_timm
from nestvec_exporters.graph.recurrent_pooling import FramePooling, Recurrent
from nestvec_exporters.graph.tower import Half
from nestvec_exporters.graph.triton import OUTPUT
from nestvec_exporters.probes import images
from nestvec_exporters.vision.image_preprocessing import Preprocessing, preprocessing
from nestvec_exporters.vision.timm_models import Processor
from nestvec_schemas.errors import CheckpointUnsupported, SampleUnusable
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.preprocessing.frames import FRAME_MASK, filled
from nestvec_schemas.preprocessing.pixels import Picture, coloured, on_background, pixels
from nestvec_schemas.towers import Tower

PIXELS: Final = "pixels"
PREPROCESSING: Final = ("preprocessor_config.json", "processor_config.json")
"""Where a checkpoint says how a picture becomes numbers."""

# What a picture costs in a batch where its tower has no patches: as many as ViT-B/16 has.
_PATCH = 16


@dataclass(frozen=True)
class ImageTower:
    """What a checkpoint brings to read pictures with.

    ``module``: pixel values, (n, 3, height, width) float32, to vectors, (n, dim); ``processor``: the
    checkpoint's own from pictures to pixel values, for comparison. ``pooling`` is what the manifest says of
    it, ``unit`` whether vectors have length 1, ``frames`` how many pictures make an input; ``patch`` is the
    edge of what costs a token in a batch. ``heads`` and ``hidden`` are of its attention, 0 without any.
    ``recurrent`` reads the frames' vectors where the checkpoint brings it, else they are averaged.
    """

    module: nn.Module
    processor: Any
    how: Preprocessing
    pooling: str
    unit: bool
    frames: int = 1
    patch: int = _PATCH
    heads: int = 0
    hidden: int = 0
    recurrent: FramePooling | None = None


class ImageGraph(nn.Module):
    """Pixels, (n, height, width, 3) uint8, or (n, frames, height, width, 3), to vectors, (n, dim) float32.

    The vectors of frames are averaged (LRCN's, Donahue et al. 2015), each brought to length 1 before and the
    mean after it where the tower's vectors have that length (CLIP4Clip, Luo et al. 2021). A recurrent pooling
    takes which frames are there, (n, frames) int64, as well.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, tower: ImageTower) -> None:
        super().__init__()
        self.transformer = tower.module
        self.frames, self.unit = tower.frames, tower.unit
        self.recurrent = None if tower.recurrent is None else Recurrent(tower.recurrent)
        how = tower.how
        std = np.asarray(how.std, np.float64)
        shift = (how.offset - np.asarray(how.mean, np.float64)) / std
        self.register_buffer("scale", _channels(how.scale / std))
        self.register_buffer("shift", _channels(shift))

    def forward(self, levels: Tensor, there: Tensor | None = None) -> tuple[Tensor]:
        """A vector an input."""
        if self.frames > 1:
            levels = levels.flatten(0, 1)
        vectors = _unit(self.transformer(self.numbers(levels)), self.unit)
        if self.frames > 1:
            vectors = vectors.view(-1, self.frames, vectors.shape[1])
            if self.recurrent is not None and there is not None:
                vectors = self.recurrent(vectors, there)
            else:
                vectors = vectors.mean(dim=1)
            vectors = _unit(vectors, self.unit)
        return (vectors,)

    def numbers(self, levels: Tensor) -> Tensor:
        """Levels, (n, height, width, 3), to what the checkpoint reads, (n, 3, height, width) float32."""
        return levels.permute(0, 3, 1, 2).to(torch.float32) * self.scale + self.shift


def image_half(tower: ImageTower) -> Half:
    """The tower, ready to be traced and compared."""
    how, ordered = tower.how.picture, tower.recurrent is not None
    shape = (2, *([tower.frames] if tower.frames > 1 else []), how.height, how.width, 3)
    example = {PIXELS: torch.zeros(shape, dtype=torch.uint8)}
    if ordered:
        example[FRAME_MASK] = torch.ones(shape[:2], dtype=torch.int64)
    return Half(
        tower=Tower(
            inputs=tuple(example),
            output=OUTPUT,
            pooling=tower.pooling,
            max_tokens=tower.frames * max(1, how.height // tower.patch) * max(1, how.width // tower.patch),
            picture=how,
            frames=tower.frames,
        ),
        build=lambda exits: ImageGraph(tower),
        example=example,
        axes={},
        rows=partial(sequence_rows if ordered else picture_rows, how, tower.frames),
        reference=partial(_reference, tower),
        probes=partial(_probes, tower.frames, shorter=ordered),
        heads=tower.heads,
        hidden=tower.hidden,
    )


def read_preprocessing(folder: Path) -> Preprocessing:
    """How a checkpoint prepares pictures. Raises CheckpointUnsupported, also where it does not say."""
    for name in PREPROCESSING:
        path = folder / name
        config = read_json(path) if path.is_file() else None
        if isinstance(config, dict):
            return preprocessing(config)
    told = read_config(folder)
    if is_timm(told):
        return preprocessing(told)
    raise CheckpointUnsupported(
        "the checkpoint does not say how a picture becomes numbers",
        value=f"neither {PREPROCESSING[0]} nor {PREPROCESSING[1]}",
        next_step="Put it beside the weights: save the image processor with save_pretrained.",
    )


def read_processor(folder: Path) -> Any:
    """The checkpoint's own image processor. Raises CheckpointUnsupported."""
    if is_timm(read_config(folder)):
        return Processor(folder)
    from transformers import AutoImageProcessor  # noqa: PLC0415 - slow

    kind: Any = AutoImageProcessor  # its functions have no annotations
    how: Any = {"backend": "pil"} if _since_5() else {"use_fast": False}
    try:
        # Pillow's resize; torchvision's differs by a level here and there.
        return kind.from_pretrained(str(folder), local_files_only=True, **how)
    except Exception as error:
        raise CheckpointUnsupported(
            "transformers cannot load the checkpoint's image processor",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Correct its preprocessor_config.json, or choose another checkpoint.",
        ) from error


def patch_of(config: Any) -> int:
    """The edge in pixels of what costs a token: a transformer's patch; what ViT has, of any other network."""
    patch = getattr(config, "patch_size", None)
    edge = patch[0] if isinstance(patch, list | tuple) and patch else patch
    return edge if isinstance(edge, int) and attention_of(config)[0] else _PATCH


def attention_of(config: Any) -> tuple[int, int]:
    """Heads and width of a transformer whose layers are alike; 0 and 0 of any other network."""
    heads, hidden = getattr(config, "num_attention_heads", 0), getattr(config, "hidden_size", 0)
    return (heads, hidden) if isinstance(heads, int) and isinstance(hidden, int) else (0, 0)


def picture_rows(how: Picture, frames: int, folder: Path, inputs: Sequence[Any], tokens: int) -> list[Arrays]:
    """Inputs to rows of pixels: pictures, or the paths and ``file:`` addresses of some; of a tower of several
    frames, sequences of them. Raises SampleUnusable for a file that is no picture."""
    return [
        {PIXELS: _stacked([pixels(opened(one), how) for one in _frames(given, frames)], frames)}
        for given in inputs
    ]


def sequence_rows(
    how: Picture, frames: int, folder: Path, inputs: Sequence[Any], tokens: int
) -> list[Arrays]:
    """The same of a tower that reads at most ``frames`` in their order: which of them are there, too."""
    rows: list[Arrays] = []
    for given in inputs:
        levels, there = filled([pixels(opened(one), how) for one in _frames(given, 1)], frames)
        rows.append({PIXELS: levels, FRAME_MASK: there})
    return rows


def _reference(tower: ImageTower, inputs: Sequence[Any], tokens: int) -> Array:
    """The checkpoint's own vectors, (n, dim) float32, one input at a time, prepared by its own processor."""
    found = []
    with torch.no_grad():
        for given in inputs:
            count = 1 if tower.recurrent else tower.frames
            frames = [_flat(opened(one), tower) for one in _frames(given, count)]
            values = [torch.as_tensor(np.asarray(tower.processor(one)["pixel_values"][0])) for one in frames]
            vectors = _unit(tower.module(torch.stack(values).float()), tower.unit)
            one = tower.recurrent.of(vectors) if tower.recurrent else vectors.mean(dim=0, keepdim=True)
            found.append(_unit(one, tower.unit and tower.frames > 1)[0].numpy())
    return np.stack(found)


def _probes(frames: int, *, shorter: bool) -> Sequence[Any]:
    """Pictures, or sequences of ``frames``; with ``shorter`` of fewer, too."""
    drawings = images.pictures()
    if frames == 1:
        return drawings
    lengths = [1 + (frames - 1 + at) % frames if shorter else frames for at in range(8)]
    return [
        tuple(drawings[(at + step) % len(drawings)] for step in range(length))
        for at, length in enumerate(lengths)
    ]


def _frames(given: Any, frames: int) -> Sequence[Any]:
    """An input's pictures; one alone stands for all frames."""
    return given if isinstance(given, tuple | list) else (given,) * frames


def _stacked(frames: Sequence[Array], count: int) -> Array:
    return np.stack(frames) if count > 1 else frames[0]


def opened(one: Any) -> Image.Image:
    """A picture, or what lies at a path or a ``file:`` address. Raises SampleUnusable."""
    if isinstance(one, Image.Image):
        return one
    path = Path(unquote(urlsplit(one).path)) if str(one).startswith("file:") else Path(one)
    try:
        with Image.open(path) as image:
            return coloured(image).copy()
    except OSError as error:
        raise SampleUnusable(
            "this encoder reads pictures, and the sample holds something else",
            value=str(one)[:80],
            next_step="Give a sample whose texts are paths or file: addresses of pictures.",
        ) from error


def _flat(image: Image.Image, tower: ImageTower) -> Image.Image:
    """As transformers' processors want it: they disagree about what shines through transparency."""
    return on_background(coloured(image), tower.how.picture.background)


def _channels(values: Array) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).view(1, 3, 1, 1)


def _unit(vectors: Tensor, unit: bool) -> Tensor:
    return nn.functional.normalize(vectors, p=2.0, dim=1) if unit else vectors


def _since_5() -> bool:
    import transformers  # noqa: PLC0415

    return int(transformers.__version__.partition(".")[0]) >= 5
