"""Images on this machine, for a demo: icons of a package and of the desktop, or those in any folder."""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from PIL import Image

from nestvec_schemas.errors import DatasetUnusable

MIN_EDGE: Final = 32
"""Pixels of the shorter edge; smaller images are skipped."""

_PACKAGE: Final = "crystal_small"
_SYSTEM: Final = ("tuxpaint/stamps", "icons", "pixmaps", "backgrounds", "wallpapers")
_SYMBOLIC: Final = "symbolic"
_EXTENSIONS: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})


def image_folders() -> list[Path]:
    """The folders of this machine that are likely to hold images, as far as they exist."""
    spec = find_spec(_PACKAGE)
    package = [Path(spec.origin).parent] if spec and spec.origin else []
    system = [Path("/usr/share", name) for name in _SYSTEM]
    libraries = [Path(sysconfig.get_path("purelib"), name) for name in ("matplotlib", "sklearn", "skimage")]
    return [folder for folder in (*package, *system, *libraries) if folder.is_dir()]


def find_images(folders: Sequence[Path], max_images: int) -> list[Path]:
    """At most ``max_images`` different images under ``folders``; of several sizes of one name, the largest.

    Monochrome icons are skipped. If there are too many, they are thinned out evenly. Raises
    DatasetUnusable if there are none.
    """
    largest: dict[tuple[Path, str], tuple[int, Path]] = {}
    for folder in folders:
        for path in sorted(_candidates(folder)):
            edge = _edge(path)
            # Icons have a folder for each size, and the same name in each.
            key = (folder, path.stem)
            if edge >= MIN_EDGE and edge > largest.get(key, (0, path))[0]:
                largest[key] = edge, path
    images = list({_digest(path): path for _, path in reversed(largest.values())}.values())[::-1]
    if not images:
        raise DatasetUnusable(
            f"there is no image of at least {MIN_EDGE} pixels here",
            value=", ".join(map(str, folders)) or "no folder",
            next_step="Name a folder with images: --folder FOLDER.",
        )
    return list(_spread(images, max_images))


def _candidates(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.suffix.lower() in _EXTENSIONS and _SYMBOLIC not in path.name and path.is_file():
            yield path


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _edge(path: Path) -> int:
    """The shorter edge in pixels; 0 for a file that is not an image."""
    try:
        with Image.open(path) as image:
            return min(image.size)
    except (OSError, ValueError, Image.DecompressionBombError):
        return 0


def _spread(images: Sequence[Path], max_images: int) -> Iterable[Path]:
    if len(images) <= max_images:
        return images
    return [images[at * len(images) // max_images] for at in range(max_images)]
