"""What is measured: encoders of a repository, each with the dims and exits that were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nestvec.evaluate.forms import Nesting
from nestvec_schemas.errors import DimNotOffered, EncoderNotFound, ManifestCorrupt
from nestvec_schemas.manifest import Manifest, Precision
from nestvec_schemas.repository import (
    ROTATION,
    encoder_names,
    find_encoder,
    read_manifest,
    verify_files,
)
from nestvec_schemas.vectors import Vectors, check_dim


@dataclass(frozen=True)
class Subject:
    """One encoder. ``dims`` and ``exits`` descend; ``rotation``, (dim, dim) float32, is what its vectors
    were multiplied by, None where it has none."""

    folder: Path
    manifest: Manifest
    dims: tuple[int, ...]
    exits: tuple[int, ...]
    rotation: Vectors | None = None

    @property
    def nesting(self) -> Nesting:
        """How the vectors that the encoder gives were nested."""
        return "rotated" if self.rotation is not None else self.manifest.nesting


def choose_subjects(
    models: Path,
    names: Sequence[str],
    precisions: Sequence[Precision],
    dims: tuple[int, ...] | None,
    exits: tuple[int, ...] | None,
) -> tuple[Subject, ...]:
    """The named encoders and, for each, those of the other ``precisions``; every file checked.

    Raises EncoderNotFound (also where it is not dense), ManifestCorrupt, DimNotOffered, ExitNotOffered.
    """
    folders: dict[Path, None] = {}
    for name in names:
        folder = find_encoder(models, name)
        folders[folder] = None
        manifest = read_manifest(folder)
        for precision in precisions:
            if precision != manifest.precision:
                folders[_sibling(models, manifest, precision)] = None
    return tuple(_subject(folder, dims, exits) for folder in folders)


def _sibling(models: Path, manifest: Manifest, precision: Precision) -> Path:
    """The folder of the same encoder with weights of another precision."""
    for name in sorted(encoder_names(models), key=lambda one: (not one.startswith(manifest.name), one)):
        other = read_manifest(models / name)
        if other.precision == precision and _origin(other) == _origin(manifest):
            return models / name
    raise EncoderNotFound(
        f"{models} has no encoder like {manifest.name} with weights of this precision",
        value=precision,
        next_step=f"Export it, with the options that {manifest.name} was exported with: nestvec export "
        f"{manifest.source} --to {models} --precision {precision} --name {manifest.name}-{precision}.",
    )


def _origin(manifest: Manifest) -> tuple[object, ...]:
    return manifest.source, manifest.layers, manifest.dim, manifest.nesting


def _subject(folder: Path, dims: tuple[int, ...] | None, exits: tuple[int, ...] | None) -> Subject:
    manifest = read_manifest(folder)
    if "text" not in manifest.towers:
        raise EncoderNotFound(
            f"{manifest.name} has no text tower", next_step="Name an encoder of texts with --encoder."
        )
    if manifest.kind != "dense":
        raise EncoderNotFound(
            f"{manifest.name} has no vectors of a fixed length to measure by dims, exits and forms",
            value=f"a {manifest.kind} encoder",
            next_step="Name a dense encoder with --encoder.",
        )
    chosen = manifest.dims if dims is None else dims
    check_dims(chosen, manifest.dim)
    asked = manifest.layers if exits is None else tuple(manifest.exit(one) for one in exits)
    verify_files(folder, manifest)
    return Subject(
        folder, manifest, chosen, tuple(sorted(set(asked), reverse=True)), _rotation(folder, manifest)
    )


def check_dims(dims: Sequence[int], full: int) -> None:
    """Raise DimNotOffered unless ``dims`` descend and each is in 1..``full``."""
    for dim in dims:
        check_dim(dim, full)
    descending = sorted(set(dims), reverse=True)
    if list(dims) != descending:
        raise DimNotOffered(
            "the dims do not descend",
            value=",".join(map(str, dims)),
            next_step=f"Write --dims {','.join(map(str, descending))}.",
        )


def _rotation(folder: Path, manifest: Manifest) -> Vectors | None:
    path = folder / ROTATION
    if not path.exists():
        return None
    try:
        rotation = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ManifestCorrupt(
            f"{path} is not an array", value=str(error), next_step="Export the encoder again."
        ) from error
    if rotation.shape != (manifest.dim, manifest.dim) or not np.isfinite(rotation).all():
        raise ManifestCorrupt(
            f"{path} is not a rotation of {manifest.dim} dims",
            value=rotation.shape,
            next_step="Export the encoder again.",
        )
    return np.asarray(rotation, np.float32)
