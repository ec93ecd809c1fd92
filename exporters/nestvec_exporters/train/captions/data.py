"""Images with captions to train on: checked, deduplicated, with a part held out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nestvec_schemas.errors import TrainingDataUnusable

MIN_IMAGES: Final = 40
"""The distinct images that a run needs."""

MAX_IMAGES: Final = 100_000
"""The most images that are trained on; more are sampled by the seed. Their pixels are kept on disk."""

_MIN_CAPTIONS = 8
_HELD_OUT_SHARE = 0.1
_MIN_HELD_OUT = 12
_MAX_HELD_OUT = 500

OpenImage = Callable[[Path], Image.Image]
"""Opens an image file as RGB or RGBA, within the caller's limits. Raises NestvecError if it cannot."""


@dataclass(frozen=True)
class CaptionData:
    """Rows to train on, as they were read: an image and its captions each."""

    name: str
    """Their origin, for records."""

    images: tuple[Path, ...]
    """An image that is in several rows has the captions of all."""

    captions: tuple[tuple[str, ...], ...]
    open_image: OpenImage

    def digest(self) -> str:
        """SHA-256 of captions and of the images' paths, sizes and modification times, in hexadecimal."""
        sha = hashlib.sha256()
        for path, captions in zip(self.images, self.captions, strict=True):
            stat = path.stat() if path.is_file() else None
            file_state = f"{path} {stat.st_size if stat else 0} {stat.st_mtime_ns if stat else 0}"
            for text in (file_state, *captions):
                data = text.encode("utf-8", "surrogatepass")
                sha.update(len(data).to_bytes(8, "little") + data)
        return sha.hexdigest()


@dataclass(frozen=True)
class PreparedCaptions:
    """Distinct images with their captions, split into training and held-out images."""

    images: tuple[Path, ...]

    rows: tuple[int, ...]
    """The row in which each image comes first."""

    captions: tuple[tuple[str, ...], ...]
    """The distinct captions of each image."""

    training: NDArray[np.intp]
    """Indices of ``images``."""

    held_out: NDArray[np.intp]
    """Indices of ``images``."""


def prepare_captions(data: CaptionData, seed: int) -> PreparedCaptions:
    """Check the data and split it. Raises TrainingDataUnusable."""
    rows_by_path: dict[Path, tuple[int, dict[str, None]]] = {}
    for index, (path, captions) in enumerate(zip(data.images, data.captions, strict=True)):
        if not captions or not all(text.strip() for text in captions):
            raise TrainingDataUnusable(
                f"an image in {data.name} has no caption, or an empty one",
                value=f"row {index + 1}: {path.name}",
                next_step="Add its caption, or remove the row.",
            )
        _, unique_captions = rows_by_path.setdefault(path, (index, {}))
        unique_captions.update(dict.fromkeys(text.strip() for text in captions))
    paths = list(rows_by_path)
    if len(paths) > MAX_IMAGES:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(paths))[:MAX_IMAGES])
        paths = [paths[index] for index in chosen]
    captions_by_image = tuple(tuple(rows_by_path[path][1]) for path in paths)
    _check_variety(data, len(paths), captions_by_image)
    order = np.random.default_rng(seed).permutation(len(paths))
    held_out_count = min(_MAX_HELD_OUT, max(_MIN_HELD_OUT, round(len(paths) * _HELD_OUT_SHARE)))
    rows = tuple(rows_by_path[path][0] for path in paths)
    return PreparedCaptions(
        tuple(paths),
        rows,
        captions_by_image,
        np.sort(order[held_out_count:]),
        np.sort(order[:held_out_count]),
    )


def _check_variety(data: CaptionData, images: int, captions: Sequence[Sequence[str]]) -> None:
    if images < MIN_IMAGES:
        raise TrainingDataUnusable(
            f"{data.name} has too few distinct images to train on",
            value=f"{images} distinct, of {len(data.images)} rows",
            next_step=f"Give at least {MIN_IMAGES}; a few thousand are best.",
        )
    different = len({image_captions[0] for image_captions in captions})
    if different < _MIN_CAPTIONS:
        raise TrainingDataUnusable(
            f"the images in {data.name} have too few distinct captions",
            value=f"{different} distinct, of {len(captions)} images",
            next_step=f"Give at least {_MIN_CAPTIONS}; ideally, each image has its own.",
        )


def matching_captions(captions: Sequence[Sequence[str]], texts: Sequence[str]) -> NDArray[np.bool_]:
    """Which of ``texts`` are captions of which image, (n, m); images can share captions."""
    captions_by_image = [frozenset(own_captions) for own_captions in captions]
    return np.array(
        [[text in own_captions for text in texts] for own_captions in captions_by_image], dtype=np.bool_
    )
