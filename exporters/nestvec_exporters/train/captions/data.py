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

LEAST: Final = 40
"""Different pictures that a run needs."""

MOST: Final = 100_000
"""Pictures that are trained on; of more, so many are drawn by the seed. Their pixels are kept on disk."""

_LEAST_CAPTIONS = 8
_HELD_OUT = 0.1
_LEAST_HELD_OUT = 12
_MOST_HELD_OUT = 500

Open = Callable[[Path], Image.Image]
"""A picture of a file, RGB or RGBA, within the caller's limits. Raises NestvecError where it is none."""


@dataclass(frozen=True)
class CaptionData:
    """Rows to train on, as they were read: a picture each, and its captions. ``name`` is what a record calls
    their origin, ``opened`` how a picture is read. A picture of several rows has the captions of all."""

    name: str
    pictures: tuple[Path, ...]
    captions: tuple[tuple[str, ...], ...]
    opened: Open

    def digest(self) -> str:
        """SHA-256 of captions and of the pictures' paths, sizes and times, in hexadecimal."""
        found = hashlib.sha256()
        for path, captions in zip(self.pictures, self.captions, strict=True):
            there = path.stat() if path.is_file() else None
            told = f"{path} {there.st_size if there else 0} {there.st_mtime_ns if there else 0}"
            for text in (told, *captions):
                data = text.encode("utf-8", "surrogatepass")
                found.update(len(data).to_bytes(8, "little") + data)
        return found.hexdigest()


@dataclass(frozen=True)
class Prepared:
    """Different pictures, each with the row that it was first named in, and its different captions.

    ``training`` and ``held_out`` are places among them.
    """

    pictures: tuple[Path, ...]
    rows: tuple[int, ...]
    captions: tuple[tuple[str, ...], ...]
    training: NDArray[np.intp]
    held_out: NDArray[np.intp]


def prepare(data: CaptionData, seed: int) -> Prepared:
    """Check the data and split it. Raises TrainingDataUnusable."""
    found: dict[Path, tuple[int, dict[str, None]]] = {}
    for at, (path, captions) in enumerate(zip(data.pictures, data.captions, strict=True)):
        if not captions or not all(text.strip() for text in captions):
            raise TrainingDataUnusable(
                f"a picture in {data.name} has no caption, or an empty one",
                value=f"row {at + 1}: {path.name}",
                next_step="Write its caption, or take the row out.",
            )
        _, there = found.setdefault(path, (at, {}))
        there.update(dict.fromkeys(text.strip() for text in captions))
    paths = list(found)
    if len(paths) > MOST:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(paths))[:MOST])
        paths = [paths[at] for at in chosen]
    each = tuple(tuple(found[path][1]) for path in paths)
    _check_variety(data, len(paths), each)
    order = np.random.default_rng(seed).permutation(len(paths))
    held = min(_MOST_HELD_OUT, max(_LEAST_HELD_OUT, round(len(paths) * _HELD_OUT)))
    rows = tuple(found[path][0] for path in paths)
    return Prepared(tuple(paths), rows, each, np.sort(order[held:]), np.sort(order[:held]))


def _check_variety(data: CaptionData, pictures: int, captions: Sequence[Sequence[str]]) -> None:
    if pictures < LEAST:
        raise TrainingDataUnusable(
            f"{data.name} has too few different pictures to train on",
            value=f"{pictures} different, of {len(data.pictures)} rows",
            next_step=f"Give at least {LEAST}; some thousands do best.",
        )
    different = len({one[0] for one in captions})
    if different < _LEAST_CAPTIONS:
        raise TrainingDataUnusable(
            f"the pictures in {data.name} have too few different captions to be told apart by",
            value=f"{different} different, of {len(captions)} pictures",
            next_step=f"Give at least {_LEAST_CAPTIONS}; each picture does best with one of its own.",
        )


def rightness(captions: Sequence[Sequence[str]], texts: Sequence[str]) -> NDArray[np.bool_]:
    """Which of ``texts`` are captions of which picture, (n, m): another's caption may be its own too."""
    own = [frozenset(one) for one in captions]
    return np.array([[text in one for text in texts] for one in own], dtype=np.bool_)
