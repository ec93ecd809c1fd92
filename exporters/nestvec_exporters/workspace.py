"""Build an encoder beside the repository and install it there in one rename."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nestvec_schemas.errors import CheckpointError, EncoderExists
from nestvec_schemas.repository import MANIFEST, PART_SEPARATOR


def check_target(models: Path, name: str, *, force: bool) -> None:
    """Raise EncoderExists, or CheckpointError where ``models`` cannot be a repository."""
    if models.exists() and not models.is_dir():
        raise CheckpointError(
            "the model repository is a file", value=str(models), next_step="Name a folder with --to."
        )
    target = models / name
    if force and target.exists() and not (target / MANIFEST).is_file():
        raise EncoderExists(
            "--force replaces encoders only, and this folder is not one",
            value=str(target),
            next_step="Choose another --name, or remove the folder yourself.",
        )
    if target.exists() and not force:
        raise EncoderExists(
            "an encoder of this name already exists",
            value=str(target),
            next_step="Replace it with --force, or choose another --name.",
        )


@contextmanager
def workspace(models: Path) -> Iterator[Path]:
    """A folder to build in, gone at the end of the block, also after an error or an interrupt.

    It is beside the repository and not in it, because Triton takes every folder there, hidden or not, for a
    model; and on the same file system, because a rename is atomic only there.
    """
    try:
        place = tempfile.TemporaryDirectory(prefix=".nestvec-export-", dir=_nearby(models.absolute()))
        with place as folder:
            yield Path(folder)
    except OSError as error:
        raise CheckpointError(
            "the encoder cannot be written",
            value=f"{error.filename or models} ({error.strerror or error})",
            next_step="Name a writable folder with --to, on a disk with free space.",
        ) from error


def _nearby(models: Path) -> Path:
    if not models.exists():
        return next(parent for parent in models.parents if parent.exists())
    parent = models.parent
    usable = parent.stat().st_dev == models.stat().st_dev and os.access(parent, os.W_OK)
    # A mounted volume: only the repository itself is on it.
    return parent if usable else models


def install(built: Path, models: Path, *, force: bool) -> None:
    """Move a built encoder into the repository, in place of an old one of its name."""
    models.mkdir(parents=True, exist_ok=True)
    check_target(models, built.name, force=force)
    before = _folders(models / built.name)
    old = {folder: built.with_name(f"{folder.name}.old") for folder in before}
    # The manifest's folder is removed first and added last: without it the parts are no encoder.
    new = {folder: models / folder.name for folder in reversed(_folders(built))}
    moved: list[tuple[Path, Path]] = []
    try:
        for source, target in [*old.items(), *new.items()]:
            source.rename(target)
            moved.append((source, target))
    except OSError:
        for source, target in reversed(moved):
            target.rename(source)
        raise


def _folders(folder: Path) -> list[Path]:
    """The folders of an encoder and its parts that exist."""
    own = [folder] if folder.exists() else []
    return [*own, *sorted(folder.parent.glob(f"{glob.escape(folder.name)}{PART_SEPARATOR}*"))]
