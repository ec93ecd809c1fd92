"""Pictures that lie on this machine, for a demo: a package's icons, the desktop's, or those of any folder."""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from PIL import Image

from nestvec_schemas.errors import DatasetUnusable

LEAST_EDGE: Final = 32
"""Pixels of the shorter edge: less shows nothing."""

_PACKAGE: Final = "crystal_small"
_SYSTEM: Final = ("tuxpaint/stamps", "icons", "pixmaps", "backgrounds", "wallpapers")
_SYMBOLIC: Final = "symbolic"
_ENDINGS: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})


def places() -> list[Path]:
    """Folders of this machine that are likely to hold pictures, those that are there."""
    spec = find_spec(_PACKAGE)
    package = [Path(spec.origin).parent] if spec and spec.origin else []
    system = [Path("/usr/share", name) for name in _SYSTEM]
    libraries = [Path(sysconfig.get_path("purelib"), name) for name in ("matplotlib", "sklearn", "skimage")]
    return [one for one in (*package, *system, *libraries) if one.is_dir()]


def find(folders: Sequence[Path], most: int) -> list[Path]:
    """At most ``most`` different pictures under ``folders``; of several sizes of one name the largest.

    Monochrome icons are left out. Of more than ``most``, every second, third, … one. Raises DatasetUnusable
    where there is none.
    """
    found: dict[tuple[Path, str], tuple[int, Path]] = {}
    for folder in folders:
        for path in sorted(_candidates(folder)):
            edge = _edge(path)
            # Icons lie in a folder for each size, under one name.
            key = (folder, path.stem)
            if edge >= LEAST_EDGE and edge > found.get(key, (0, path))[0]:
                found[key] = edge, path
    pictures = list({_digest(path): path for _, path in reversed(found.values())}.values())[::-1]
    if not pictures:
        raise DatasetUnusable(
            f"no picture of {LEAST_EDGE} pixels and more is here",
            value=", ".join(map(str, folders)) or "no folder",
            next_step="Name a folder with pictures: --folder FOLDER.",
        )
    return list(_spread(pictures, most))


def _candidates(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.suffix.lower() in _ENDINGS and _SYMBOLIC not in path.name and path.is_file():
            yield path


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _edge(path: Path) -> int:
    """The shorter edge in pixels; 0 of what is no picture."""
    try:
        with Image.open(path) as image:
            return min(image.size)
    except (OSError, ValueError, Image.DecompressionBombError):
        return 0


def _spread(pictures: Sequence[Path], most: int) -> Iterable[Path]:
    if len(pictures) <= most:
        return pictures
    return [pictures[at * len(pictures) // most] for at in range(most)]
