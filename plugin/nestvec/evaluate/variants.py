"""The encoders to measure, each with its dims and exits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from nestvec.evaluate.search.forms import Nesting
from nestvec_schemas.bridges.bridge import served_name, split_bridged_name
from nestvec_schemas.bridges.view import bridge_view, selected_bridge
from nestvec_schemas.capabilities import check_prompt, check_query_prompt
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import DimNotOffered, EncoderNotFound, ExitNotOffered, ManifestCorrupt
from nestvec_schemas.fingerprint import encoder_fingerprint
from nestvec_schemas.manifest import Manifest, Precision
from nestvec_schemas.repository import (
    ROTATION,
    encoder_names,
    find_encoder,
    read_manifest,
    verify_files,
)
from nestvec_schemas.towers import Role
from nestvec_schemas.vectors import Vectors, check_prefix_dim


@dataclass(frozen=True)
class EncoderVariant:
    """One exported encoder, and which of its vectors are measured."""

    folder: Path
    manifest: Manifest

    dims: tuple[int, ...]
    """Descending; empty for a sparse encoder."""

    exits: tuple[int, ...]
    """Descending."""

    rotation: Vectors | None = None
    """(dim, dim) float32: what its vectors are multiplied by; None without a rotation."""

    top: tuple[int, ...] = ()
    """Of a sparse encoder: numbers of largest weights that documents keep, descending."""

    prompts: EmbeddingConfig = field(default_factory=EmbeddingConfig)
    """Which prompts are put before documents and queries."""

    queries: EncoderVariant | None = None
    """What encodes the queries, into the same space; None for the encoder itself."""

    @property
    def name(self) -> str:
        """The encoder as results name it: ``minilm``, or ``minilm, queries by bge.as.minilm``."""
        own = self.manifest.name
        return own if self.queries is None else f"{own}, queries by {self.queries.manifest.name}"

    def encoding(self, role: Role) -> EncoderVariant:
        """What encodes queries or documents."""
        return self.queries if role == "query" and self.queries is not None else self

    def encoding_exit(self, role: Role, exit: int) -> int:
        """The exit at which queries or documents are encoded where documents are at ``exit``: a bridge may
        have a map of its own for queries."""
        manifest = self.encoding(role).manifest
        bridge = selected_bridge(manifest)
        if bridge is not None:
            return bridge.exit_for(role)
        return exit if manifest is self.manifest else manifest.depth

    def prompt(self, role: Role) -> str:
        """The text that is put before a query or a document."""
        return self.manifest.prompt(self.prompts.prompt_name(role))

    @property
    def nesting(self) -> Nesting:
        """How the encoder's vectors are nested."""
        return "rotated" if self.rotation is not None else self.manifest.nesting


@dataclass(frozen=True)
class RequestedSizes:
    """The sizes to measure of every encoder."""

    dims: tuple[int, ...] | None = None
    """None: those that it was exported with."""

    exits: tuple[int, ...] | None = None
    """None: those that it was exported with."""

    top: tuple[int, ...] | None = None
    """None: all weights only."""

    prompts: EmbeddingConfig = field(default_factory=EmbeddingConfig)
    """Which prompts are put before documents and queries."""


def choose_variants(
    models: Path, names: Sequence[str], precisions: Sequence[Precision], sizes: RequestedSizes
) -> tuple[EncoderVariant, ...]:
    """The named encoders, and the same ones with weights of ``precisions``; every file is checked.

    Raises EncoderNotFound (also for an encoder that is neither dense nor sparse), ManifestCorrupt,
    PromptNotOffered, ExitNotOffered and DimNotOffered (also for dims if all are sparse, and for top if none
    is).
    """
    folders: dict[tuple[Path, str | None], None] = {}
    for name in names:
        folder, bridge = _find(models, name)
        folders[folder, bridge] = None
        manifest = read_manifest(folder)
        for precision in precisions:
            if precision != manifest.precision:
                folders[_sibling(models, manifest, precision), bridge] = None
    variants = tuple(_variant(folder, sizes, bridge) for folder, bridge in folders)
    _check_sizes(variants, sizes)
    return variants


def with_queries_by(
    models: Path, name: str, variants: Sequence[EncoderVariant], prompts: EmbeddingConfig
) -> tuple[EncoderVariant, ...]:
    """The variants, and those of the space of the encoder ``name``, such as a bridge, once more with their
    queries by it.

    Raises EncoderNotFound, also if it has the space of none; ManifestCorrupt, PromptNotOffered.
    """
    folder, bridge = _find(models, name)
    queries = _variant(folder, RequestedSizes(prompts=prompts), bridge)
    space = encoder_fingerprint(queries.manifest)
    pairs = [
        replace(variant, exits=(variant.manifest.depth,), queries=queries)
        for variant in variants
        if encoder_fingerprint(variant.manifest) == space and variant.manifest.name != queries.manifest.name
    ]
    if not pairs:
        spaces = (f"{variant.manifest.name} {encoder_fingerprint(variant.manifest)}" for variant in variants)
        raise EncoderNotFound(
            f"{name} does not encode into the space of any encoder of --encoder: queries and documents of "
            "different spaces cannot be compared",
            value=f"fingerprint {space}, not {', '.join(spaces)}",
            next_step=f"Fit a bridge: nestvec bridge {variants[0].manifest.name} {name} --sample FILE; then "
            f"name it with --queries-encoder {name}.as.{variants[0].manifest.name}.",
        )
    return (*variants, *pairs)


def _find(models: Path, name: str) -> tuple[Path, str | None]:
    """The folder of an encoder, and the bridge of it that a name such as ``bge.as.minilm`` means.

    Raises EncoderNotFound, ManifestCorrupt.
    """
    parts = split_bridged_name(name)
    if parts is None or name in encoder_names(models):
        return find_encoder(models, name), None
    folder, bridge = find_encoder(models, parts[0]), parts[1]
    _bridged(read_manifest(folder), bridge)
    return folder, bridge


def _bridged(manifest: Manifest, bridge: str) -> Manifest:
    """An encoder's bridge as an encoder of its own. Raises EncoderNotFound."""
    available = () if manifest.bridges is None else tuple(manifest.bridges.maps)
    if bridge not in available:
        names = [served_name(manifest.name, key) for key in available]
        raise EncoderNotFound(
            f"{manifest.name} has no such bridge",
            value=bridge,
            next_step=f"Available: {', '.join(names) or 'none'}. Fit one with nestvec bridge.",
        )
    return bridge_view(manifest, bridge)


def choose_reranker(models: Path, name: str) -> EncoderVariant:
    """An encoder that scores queries with documents. Raises EncoderNotFound, ManifestCorrupt."""
    folder = find_encoder(models, name)
    manifest = read_manifest(folder)
    if manifest.kind not in ("reranker", "multivector"):
        raise EncoderNotFound(
            f"{name} cannot score queries with documents",
            value=f"a {manifest.kind} encoder",
            next_step="Name a cross-encoder or a late-interaction encoder with --rerank.",
        )
    verify_files(folder, manifest)
    return EncoderVariant(folder, manifest, (), (manifest.depth,))


def _check_sizes(variants: Sequence[EncoderVariant], sizes: RequestedSizes) -> None:
    kinds = {variant.manifest.kind for variant in variants}
    if sizes.dims is not None and "dense" not in kinds:
        raise DimNotOffered(
            "a sparse encoder's dims are words, so its vectors cannot be truncated",
            value=",".join(map(str, sizes.dims)),
            next_step="Omit --dims, or measure the largest weights: --top 128,64.",
        )
    if sizes.top is not None and "sparse" not in kinds:
        raise DimNotOffered(
            "--top is for sparse encoders",
            value=",".join(map(str, sizes.top)),
            next_step="Omit --top, or measure shorter vectors: --dims 128,64.",
        )
    if sizes.exits is not None and "dense" not in kinds:
        raise ExitNotOffered(
            "a sparse encoder has no exits",
            value=_comma_separated(sizes.exits),
            next_step="Omit --exits.",
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
        f"{models} has no {manifest.name} with weights of this precision",
        value=precision,
        next_step=f"Export it with the options of {manifest.name}: nestvec export "
        f"{manifest.source} --to {models} --precision {precision} --name {manifest.name}-{precision}.",
    )


def _origin(manifest: Manifest) -> tuple[object, ...]:
    return manifest.source, manifest.layers, manifest.dim, manifest.nesting


def _variant(folder: Path, sizes: RequestedSizes, bridge: str | None = None) -> EncoderVariant:
    own = read_manifest(folder)
    manifest = own if bridge is None else _bridged(own, bridge)
    if "text" not in manifest.towers:
        raise EncoderNotFound(
            f"{manifest.name} has no text tower", next_step="Name a text encoder with --encoder."
        )
    if manifest.kind not in ("dense", "sparse"):
        raise EncoderNotFound(
            f"{manifest.name} does not encode texts as vectors that can be searched",
            value=f"a {manifest.kind} encoder",
            next_step=f"Name a dense or sparse encoder with --encoder, and this one with "
            f"--rerank {manifest.name}.",
        )
    verify_files(folder, manifest)
    named = replace(sizes.prompts, encoder=manifest.name)
    check_prompt(named, manifest)
    check_query_prompt(named, manifest)
    if manifest.kind == "sparse":
        top = sizes.top or ()
        _check_descending("top", top)
        if any(not 1 <= layer < manifest.dim for layer in top):
            raise DimNotOffered(
                f"{manifest.name} has {manifest.dim} words, so --top must be smaller",
                value=_comma_separated(top),
                next_step=f"Choose from 1 to {manifest.dim - 1}.",
            )
        return EncoderVariant(folder, manifest, (), (manifest.depth,), top=top, prompts=named)
    dims = manifest.dims if sizes.dims is None else sizes.dims
    check_descending_dims(dims, manifest.dim)
    exits = sizes.exits
    layers = manifest.layers if exits is None else tuple(manifest.resolve_exit(layer) for layer in exits)
    return EncoderVariant(
        folder,
        manifest,
        dims,
        tuple(sorted(set(layers), reverse=True)),
        _rotation(folder, manifest) if bridge is None else None,
        prompts=named,
    )


def check_descending_dims(dims: Sequence[int], full: int) -> None:
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
