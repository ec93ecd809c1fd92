"""What is measured: encoders of a repository, each with the dims and exits that were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nestvec.evaluate.search.forms import Nesting
from nestvec_schemas.errors import DimNotOffered, EncoderNotFound, ExitNotOffered, ManifestCorrupt
from nestvec_schemas.manifest import Manifest, Precision
from nestvec_schemas.repository import (
    ROTATION,
    encoder_names,
    find_encoder,
    read_manifest,
    verify_files,
)
from nestvec_schemas.vectors import Vectors, check_prefix_dim


@dataclass(frozen=True)
class EncoderVariant:
    """One encoder. ``dims`` and ``exits`` descend; ``rotation``, (dim, dim) float32, is what its vectors
    were multiplied by, None where it has none. A sparse one has no dims, but ``top``: of each document so
    many of the largest weights, descending."""

    folder: Path
    manifest: Manifest
    dims: tuple[int, ...]
    exits: tuple[int, ...]
    rotation: Vectors | None = None
    top: tuple[int, ...] = ()

    @property
    def nesting(self) -> Nesting:
        """How the vectors that the encoder gives were nested."""
        return "rotated" if self.rotation is not None else self.manifest.nesting


@dataclass(frozen=True)
class RequestedSizes:
    """What is measured of an encoder: None is what it was exported with, and of ``top`` the whole alone."""

    dims: tuple[int, ...] | None = None
    exits: tuple[int, ...] | None = None
    top: tuple[int, ...] | None = None


def choose_variants(
    models: Path, names: Sequence[str], precisions: Sequence[Precision], sizes: RequestedSizes
) -> tuple[EncoderVariant, ...]:
    """The named encoders and, for each, those of the other ``precisions``; every file checked.

    Raises EncoderNotFound (also where it has neither vectors nor weights of words), ManifestCorrupt,
    DimNotOffered (also for dims where all are sparse, for top where none is), ExitNotOffered.
    """
    folders: dict[Path, None] = {}
    for name in names:
        folder = find_encoder(models, name)
        folders[folder] = None
        manifest = read_manifest(folder)
        for precision in precisions:
            if precision != manifest.precision:
                folders[_sibling(models, manifest, precision)] = None
    variants = tuple(_variant(folder, sizes) for folder in folders)
    _check_sizes(variants, sizes)
    return variants


def choose_reranker(models: Path, name: str) -> EncoderVariant:
    """An encoder that scores a document with a query. Raises EncoderNotFound, ManifestCorrupt."""
    folder = find_encoder(models, name)
    manifest = read_manifest(folder)
    if manifest.kind not in ("reranker", "multivector"):
        raise EncoderNotFound(
            f"{name} scores no document with a query",
            value=f"a {manifest.kind} encoder",
            next_step="Name a cross-encoder or a late-interaction encoder with --rerank.",
        )
    verify_files(folder, manifest)
    return EncoderVariant(folder, manifest, (), (manifest.depth,))


def _check_sizes(variants: Sequence[EncoderVariant], sizes: RequestedSizes) -> None:
    kinds = {variant.manifest.kind for variant in variants}
    if sizes.dims is not None and "dense" not in kinds:
        raise DimNotOffered(
            "a sparse encoder's dims are words, and its vectors have no prefix",
            value=",".join(map(str, sizes.dims)),
            next_step="Leave --dims away, or measure the largest weights: --top 128,64.",
        )
    if sizes.top is not None and "sparse" not in kinds:
        raise DimNotOffered(
            "only a sparse encoder's vectors have largest weights",
            value=",".join(map(str, sizes.top)),
            next_step="Leave --top away, or measure the first numbers: --dims 128,64.",
        )
    if sizes.exits is not None and "dense" not in kinds:
        raise ExitNotOffered(
            "a sparse encoder has no exits",
            value=_comma_separated(sizes.exits),
            next_step="Leave --exits away.",
        )


def _comma_separated(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def _sibling(models: Path, manifest: Manifest, precision: Precision) -> Path:
    """The folder of the same encoder with weights of another precision."""
    for name in sorted(
        encoder_names(models), key=lambda candidate: (not candidate.startswith(manifest.name), candidate)
    ):
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


def _variant(folder: Path, sizes: RequestedSizes) -> EncoderVariant:
    manifest = read_manifest(folder)
    if "text" not in manifest.towers:
        raise EncoderNotFound(
            f"{manifest.name} has no text tower", next_step="Name an encoder of texts with --encoder."
        )
    if manifest.kind not in ("dense", "sparse"):
        raise EncoderNotFound(
            f"{manifest.name} makes no vectors of texts that a search could go through",
            value=f"a {manifest.kind} encoder",
            next_step=f"Name a dense or sparse encoder with --encoder, and this one with --rerank "
            f"{manifest.name}.",
        )
    verify_files(folder, manifest)
    if manifest.kind == "sparse":
        top = sizes.top or ()
        _check_descending("top", top)
        if any(not 1 <= layer < manifest.dim for layer in top):
            raise DimNotOffered(
                f"{manifest.name} has {manifest.dim} words, of which so many cannot be kept",
                value=_comma_separated(top),
                next_step=f"Choose from 1 to {manifest.dim - 1}.",
            )
        return EncoderVariant(folder, manifest, (), (manifest.depth,), top=top)
    dims = manifest.dims if sizes.dims is None else sizes.dims
    check_dims(dims, manifest.dim)
    exits = sizes.exits
    layers = manifest.layers if exits is None else tuple(manifest.resolve_exit(layer) for layer in exits)
    return EncoderVariant(
        folder, manifest, dims, tuple(sorted(set(layers), reverse=True)), _rotation(folder, manifest)
    )


def check_dims(dims: Sequence[int], full: int) -> None:
    """Raise DimNotOffered unless ``dims`` descend and each is in 1..``full``."""
    for dim in dims:
        check_prefix_dim(dim, full)
    _check_descending("dims", dims)


def _check_descending(what: str, numbers: Sequence[int]) -> None:
    descending = sorted(set(numbers), reverse=True)
    if list(numbers) != descending:
        raise DimNotOffered(
            f"the numbers of --{what} do not descend",
            value=_comma_separated(numbers),
            next_step=f"Write --{what} {_comma_separated(descending)}.",
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
