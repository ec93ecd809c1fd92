"""Pictures with captions to train on: checked, each picture once, and a part held out."""

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
"""Different pictures that a run needs."""

MAX_IMAGES: Final = 100_000
"""Pictures that are trained on; of more, so many are drawn by the seed. Their pixels are kept on disk."""

_MIN_CAPTIONS = 8
_HELD_OUT_SHARE = 0.1
_MIN_HELD_OUT = 12
_MAX_HELD_OUT = 500

OpenImage = Callable[[Path], Image.Image]
"""A picture of a file, RGB or RGBA, within the caller's limits. Raises NestvecError where it is none."""


@dataclass(frozen=True)
class CaptionData:
    """Rows to train on, as they were read: a picture each, and its captions. ``name`` is what a record calls
    their origin, ``opened`` how a picture is read. A picture of several rows has the captions of all."""

    name: str
    images: tuple[Path, ...]
    captions: tuple[tuple[str, ...], ...]
    open_image: OpenImage

    def digest(self) -> str:
        """SHA-256 of captions and of the pictures' paths, sizes and times, in hexadecimal."""
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
    """Different pictures, each with the row that it was first named in, and its different captions.

    ``training`` and ``held_out`` are places among them.
    """

    images: tuple[Path, ...]
    rows: tuple[int, ...]
    captions: tuple[tuple[str, ...], ...]
    training: NDArray[np.intp]
    held_out: NDArray[np.intp]


def prepare_captions(data: CaptionData, seed: int) -> PreparedCaptions:
    """Check the data and split it. Raises TrainingDataUnusable."""
    rows_by_path: dict[Path, tuple[int, dict[str, None]]] = {}
    for index, (path, captions) in enumerate(zip(data.images, data.captions, strict=True)):
        if not captions or not all(text.strip() for text in captions):
            raise TrainingDataUnusable(
                f"a picture in {data.name} has no caption, or an empty one",
                value=f"row {index + 1}: {path.name}",
                next_step="Write its caption, or take the row out.",
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
            f"{data.name} has too few different pictures to train on",
            value=f"{images} different, of {len(data.images)} rows",
            next_step=f"Give at least {MIN_IMAGES}; some thousands do best.",
        )
    different = len({image_captions[0] for image_captions in captions})
    if different < _MIN_CAPTIONS:
        raise TrainingDataUnusable(
            f"the pictures in {data.name} have too few different captions to be told apart by",
            value=f"{different} different, of {len(captions)} pictures",
            next_step=f"Give at least {_MIN_CAPTIONS}; each picture does best with one of its own.",
        )


def matching_captions(captions: Sequence[Sequence[str]], texts: Sequence[str]) -> NDArray[np.bool_]:
    """Which of ``texts`` are captions of which picture, (n, m): another's caption may be its own too."""
    captions_by_image = [frozenset(own_captions) for own_captions in captions]
    return np.array(
        [[text in own_captions for text in texts] for own_captions in captions_by_image], dtype=np.bool_
    )
