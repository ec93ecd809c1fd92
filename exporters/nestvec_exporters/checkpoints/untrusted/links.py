"""Links in a checkpoint's folder, which must not lead out of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from nestvec_schemas.errors import CheckpointUnsupported

_SNAPSHOTS: Final = "snapshots"
_BLOBS: Final = "blobs"


def check_links(folder: Path) -> None:
    """Raise CheckpointUnsupported if a link, to a file or a folder, leads outside the checkpoint.

    In Hugging Face's cache every file of ``snapshots/REVISION`` is a link into ``blobs`` beside it.
    """
    root = Path(os.path.realpath(folder))
    allowed = [root, *_blobs(root)]
    for parent, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(parent, name)
            if not path.is_symlink():
                continue
            target = Path(os.path.realpath(path))
            if not any(target.is_relative_to(place) for place in allowed):
                raise CheckpointUnsupported(
                    "the checkpoint has a link that leads out of its folder",
                    value=f"{path.relative_to(root)} → {target}",
                    next_step="Replace it by the file itself: cp -rL FOLDER COPY, and export the copy.",
                )


def _blobs(root: Path) -> list[Path]:
    """Where Hugging Face's cache keeps the files of a snapshot, of which ``root`` is a part."""
    parents = [root, *root.parents]
    return [
        place.parent.parent / _BLOBS
        for place in parents[:4]
        if place.parent.name == _SNAPSHOTS and place.parent.parent.name.startswith("models--")
    ]
