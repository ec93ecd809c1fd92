"""Checkpoint to encoder, step by step."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from nestvec_exporters.architectures.registry import load as load_checkpoint
from nestvec_exporters.checkpoints.checkpoint import Checkpoint, read_checkpoint
from nestvec_exporters.checkpoints.kinds import NEEDED, architecture
from nestvec_exporters.graph.tensorrt import check_tensorrt
from nestvec_exporters.graph.triton import EXIT
from nestvec_exporters.merge import Merge, merged
from nestvec_exporters.nesting.fit import Fitted, Fitting, distinct, fit
from nestvec_exporters.nesting.ladder import Shape, shape_of
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.progress import Listener
from nestvec_exporters.workspace import check_target, install, workspace
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.extras import need
from nestvec_schemas.manifest import Manifest, Nesting, Verification
from nestvec_schemas.repository import CONFIG, MANIFEST, PART, ROTATION, part_folder, sha256
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.towers import part_of

if TYPE_CHECKING:
    from nestvec_exporters.component import Piece
    from nestvec_exporters.graph.tower import Half, Loaded

_RECORDED = ("nestvec", "torch", "transformers", "sentence-transformers", "onnxruntime")


def export(options: ExportOptions, listener: Listener | None = None) -> Manifest:
    """Export a checkpoint to ``options.models / options.name`` and return the manifest written there.

    The encoder appears whole or not at all. Raises CheckpointError (not found, unsupported, there already,
    or too far from its source), DimNotOffered, ExitNotOffered, SampleUnusable; NestvecError where the
    packages of the ``export`` extra are missing.
    """
    hears = listener or Listener()
    if options.format == "tensorrt":
        check_tensorrt(options.checkpoint, options.models, options.words())
    check_target(options.models, options.name, force=options.force)
    hears.stage("reading the checkpoint")
    source = options.merge or read_checkpoint(options.checkpoint)
    experts = {name: read_checkpoint(given) for name, given in options.experts.items()}
    needs = NEEDED if isinstance(source, Merge) else architecture(source.architecture).needs
    need("exporting", needs, "export")
    hears.stage("loading libraries")
    from nestvec_exporters.checkpoints.quiet import quiet  # noqa: PLC0415 - seconds of imports

    with quiet(), workspace(options.models) as work:
        if isinstance(source, Merge):
            source = _merged(source, work, hears)
        manifest = _build(options, source, experts, work, hears)
        install(work / options.name, options.models, force=options.force)
    return manifest


def _merged(asked: Merge, work: Path, hears: Listener) -> Checkpoint:
    """The checkpoint that a merge makes, in ``work`` while the export lasts; its coefficients are found first
    where that is asked for. Raises as ``merged`` and ``merge.fitting.fit`` do."""
    if asked.fit is not None:
        from nestvec_exporters.merge.coefficients import fit as fit_merge  # noqa: PLC0415 - torch

        hears.stage("fitting the coefficients of the merge")
        found = fit_merge(asked, asked.fit, hears.step)
        hears.stage(f"fitted: {found}")
        asked = Merge(found.expression, asked.names)
    hears.stage("merging the checkpoints")
    # No encoder's name begins with a dot.
    folder = merged(asked.expression, work / ".merged", asked.names)
    return replace(read_checkpoint(str(folder)), source=asked.expression)


def _build(
    options: ExportOptions,
    checkpoint: Checkpoint,
    experts: dict[str, Checkpoint],
    work: Path,
    hears: Listener,
) -> Manifest:
    """Everything of an encoder, in a folder of its name in ``work``, and its parts beside that."""
    from nestvec_exporters.component import verified, write_part  # noqa: PLC0415 - seconds of imports

    hears.stage("loading the weights")
    loaded = load_checkpoint(checkpoint, options)
    if options.overrides.image_checkpoint is not None:
        image = read_checkpoint(options.overrides.image_checkpoint)
        loaded = _with_pictures(loaded, image, options)
        checkpoint = replace(checkpoint, source=f"{checkpoint.source}+{image.source}")
    # A rotation makes vectors of all prefixes, whatever was trained.
    dims = options.dims if options.rotation else options.dims or loaded.dims
    options = replace(options, precision=loaded.precision or options.precision, dims=dims)
    shape = shape_of(loaded.kind, loaded.dim, loaded.layers, options)
    pieces = [*_towers(loaded), *_experts(loaded, experts, options)]
    folder = work / options.name
    folder.mkdir()
    loaded.first.save(folder)
    sample = _sample(options, loaded.dim)
    traced = [_trace(piece, work, shape, hears) for piece in pieces]
    fitted = _fit(options, loaded, traced[0], folder, sample, hears) if sample else None
    found: list[Verification] = []
    for piece, graph in zip(pieces, traced, strict=True):
        write_part(options, piece, graph, part_folder(folder, piece.part), shape, fitted, hears.stage)
        hears.stage("comparing with the checkpoint's vectors" + (f", {piece.part}" if piece.part else ""))
        found.append(verified(piece, folder, options.precision, shape, fitted))
    if fitted is not None and fitted.rotation is not None:
        np.save(folder / ROTATION, fitted.rotation.astype(np.float32), allow_pickle=False)
    manifest = _manifest(options, checkpoint, loaded, shape, fitted, found)
    manifest = manifest.model_copy(
        update={
            "experts": dict.fromkeys(loaded.experts, checkpoint.source)
            | {name: one.source for name, one in experts.items()},
            "files": _files(folder, pieces),
        }
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", "utf-8")
    return manifest


def _with_pictures(loaded: Loaded, image: Checkpoint, options: ExportOptions) -> Loaded:
    """A text checkpoint's tower, and one of pictures in its space."""
    from nestvec_exporters.architectures.conse import beside  # noqa: PLC0415 - seconds of imports

    return beside(loaded, image, options)


def _towers(loaded: Loaded) -> list[Piece]:
    """The encoder's towers, the one whose graph lies in its own folder first, then its own experts."""
    from nestvec_exporters.component import Piece  # noqa: PLC0415

    towers = {name: half.tower for name, half in loaded.halves.items()}
    pieces = [Piece(part_of(towers, name), half, loaded) for name, half in loaded.halves.items()]
    own = [Piece(name, half, loaded) for name, half in loaded.experts.items()]
    return [*sorted(pieces, key=lambda piece: piece.part), *own]


def _experts(loaded: Loaded, experts: dict[str, Checkpoint], options: ExportOptions) -> list[Piece]:
    """The experts' weights for the first tower. Raises CheckpointUnsupported where one does not fit it."""
    from nestvec_exporters.component import Piece  # noqa: PLC0415

    pieces = []
    for name, checkpoint in experts.items():
        expert = load_checkpoint(checkpoint, options)
        if (expert.kind, expert.dim, expert.first.tower) != (loaded.kind, loaded.dim, loaded.first.tower):
            raise CheckpointUnsupported(
                f"the expert {name} is no other set of weights for this encoder",
                value=f"{expert.kind}, {expert.dim} dims, {expert.first.tower.max_tokens} tokens against "
                f"{loaded.kind}, {loaded.dim} dims, {loaded.first.tower.max_tokens} tokens",
                next_step="Give checkpoints that were trained from the one that is exported.",
            )
        _check_same_rows(name, loaded.first, expert.first)
        pieces.append(Piece(name, expert.first, expert))
    return pieces


def _check_same_rows(name: str, half: Half, other: Half) -> None:
    """Raise CheckpointUnsupported where an expert reads the same inputs as other arrays."""
    probes = list(half.probes())[:8]
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        half.save(Path(one))
        other.save(Path(two))
        pairs = zip(half.rows(Path(one), probes, 64), other.rows(Path(two), probes, 64), strict=True)
        same = all(np.array_equal(left[key], right[key]) for left, right in pairs for key in left)
    if not same:
        raise CheckpointUnsupported(
            "an expert has another tokenizer than the encoder",
            value=name,
            next_step="Give checkpoints that were trained from the one that is exported.",
        )


def _sample(options: ExportOptions, dim: int) -> Sample | None:
    if options.sample is None:
        return None
    return replace(options.sample, texts=distinct(options.sample, dim))


def _trace(piece: Piece, work: Path, shape: Shape, hears: Listener) -> Path:
    doing = "tracing the graph" if piece.half.graph is None else "finishing the graph"
    hears.stage(doing + (f", {piece.part}" if piece.part else ""))
    traced = work / f"traced-{piece.part}" / "graph.onnx"
    traced.parent.mkdir()
    if piece.half.graph is not None:
        piece.half.graph(traced)
        return traced
    from nestvec_exporters.graph.trace import write_graph  # noqa: PLC0415 - seconds of imports

    write_graph(piece.half, traced, shape.shallow)
    return traced


def _fit(
    options: ExportOptions, loaded: Loaded, traced: Path, folder: Path, sample: Sample, hears: Listener
) -> Fitted:
    from nestvec_exporters.nesting.sampling import (  # noqa: PLC0415 - seconds of imports
        exit_vectors,
        keywords_of,
        sentences_of,
    )

    hears.stage(f"embedding {len(sample.texts)} texts of the sample {sample.name}")
    document, query = loaded.prompts.get("document", ""), loaded.prompts.get("query", "")
    sentences = sentences_of(sample.texts, seed=options.seed)
    keywords = keywords_of(sample.texts, seed=options.seed) if options.rotation == "learned" else []
    given = [
        *(f"{document}{text}" for text in sample.texts),
        *(f"{query}{one}" for one in (*sentences, *keywords)),
    ]
    rows = loaded.first.rows(folder, given, loaded.first.tower.max_tokens)
    shape = shape_of(loaded.kind, loaded.dim, loaded.layers, options)
    vectors = exit_vectors(traced, rows, shape.layers, hears.step)
    hears.stage(f"fitting the {options.rotation} rotation" if options.rotation else "fitting the exits")
    how = Fitting(options.rotation, shape.dims, options.seed)
    return fit(vectors, sample, how, hears.step, keywords=len(keywords))


def _files(folder: Path, pieces: list[Piece]) -> dict[str, str]:
    """The files of the encoder and its parts, by the name that a manifest gives each, with its SHA-256."""
    found = {}
    for part in ("", *(piece.part for piece in pieces if piece.part)):
        place = part_folder(folder, part)
        for path in sorted(path for path in place.rglob("*") if path.is_file()):
            inside = path.relative_to(place).as_posix()
            if inside == CONFIG:  # an operator may tune how Triton runs it
                continue
            found[f"{PART}{part}/{inside}" if part else inside] = sha256(path)
    return found


def _manifest(
    options: ExportOptions,
    checkpoint: Checkpoint,
    loaded: Loaded,
    shape: Shape,
    fitted: Fitted | None,
    found: list[Verification],
) -> Manifest:
    towers = {name: half.tower for name, half in loaded.halves.items()}
    if shape.shallow:
        towers = {
            name: one.model_copy(update={"inputs": (*one.inputs, EXIT)}) for name, one in towers.items()
        }
    trained = checkpoint.trained or loaded.trained
    nesting: Nesting = "rotated" if options.rotation else ("trained" if trained else "plain")
    return Manifest(
        name=options.name,
        source=checkpoint.source,
        kind=loaded.kind,
        towers=towers,
        dim=loaded.dim,
        dims=shape.dims,
        layers=shape.layers,
        normalised=loaded.normalised,
        prompts=dict(loaded.prompts),
        precision=options.precision,
        nesting=nesting,
        retention=fitted.retention if fitted else {},
        exits=fitted.exits if fitted else {},
        fit=fitted.record if fitted else None,
        verification=Verification(
            sentences=sum(one.sentences for one in found),
            cosine_min=min(one.cosine_min for one in found),
            cosine_mean=sum(one.cosine_mean * one.sentences for one in found)
            / sum(one.sentences for one in found),
        ),
        files={},
        created_with=_versions(),
    )


def _versions() -> dict[str, str]:
    """The versions of what exports; a graph that is ready needs less than all of it."""
    found = {}
    for name in _RECORDED:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
