"""Checkpoint to encoder, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nestvec_exporters.checkpoint import Checkpoint, read_checkpoint
from nestvec_exporters.fitting import Fitted, Fitting, distinct, fit
from nestvec_exporters.options import ExportOptions, exit_ladder
from nestvec_exporters.tensorrt import PLAN, build_plan, check_tensorrt, profiles
from nestvec_exporters.triton import EXIT, INPUTS, OUTPUT, Serving, config_pbtxt, exit_output
from nestvec_exporters.workspace import check_target, install, workspace
from nestvec_schemas.manifest import Manifest, Nesting, Precision, Verification, ladder
from nestvec_schemas.packages import need
from nestvec_schemas.repository import CONFIG, GRAPH, MANIFEST, ROTATION, TOKENIZER, sha256
from nestvec_schemas.sample import Sample
from nestvec_schemas.towers import Tower

if TYPE_CHECKING:
    from nestvec_exporters.source import Source

_NEEDED = ("torch", "transformers", "sentence_transformers", "onnx", "onnxruntime")
_RECORDED = ("nestvec", "torch", "transformers", "sentence-transformers", "onnxruntime")


@dataclass(frozen=True)
class Listener:
    """Hears of each stage as it begins, and of how far a long one is: units done, and in all."""

    stage: Callable[[str], None] = lambda name: None
    step: Callable[[int, int], None] = lambda done, total: None


def export(options: ExportOptions, listener: Listener | None = None) -> Manifest:
    """Export a checkpoint to ``options.models / options.name`` and return the manifest written there.

    The encoder appears whole or not at all. Raises CheckpointError (not found, unsupported, there already,
    or too far from its source), DimNotOffered, ExitNotOffered, SampleUnusable; NestvecError where the
    packages of the ``export`` extra are missing.
    """
    hears = listener or Listener()
    need("exporting", _NEEDED, "export")
    if options.format == "tensorrt":
        check_tensorrt(options.checkpoint, options.models, options.words())
    check_target(options.models, options.name, force=options.force)
    hears.stage("reading the checkpoint")
    checkpoint = read_checkpoint(options.checkpoint)
    hears.stage("loading libraries")
    from nestvec_exporters.quiet import quiet  # noqa: PLC0415 - seconds of imports

    with quiet(), workspace(options.models) as work:
        manifest = _build(options, checkpoint, work, hears)
        install(work / options.name, options.models, force=options.force)
    return manifest


@dataclass(frozen=True)
class _Shape:
    """What an encoder will offer: prefixes, exits (deepest first) and the longest text in tokens."""

    dims: tuple[int, ...]
    layers: tuple[int, ...]
    tokens: int

    @property
    def shallow(self) -> tuple[int, ...]:
        """The exits but the deepest, shallowest first."""
        return self.layers[:0:-1]


def _build(options: ExportOptions, checkpoint: Checkpoint, work: Path, hears: Listener) -> Manifest:
    """Everything of an encoder, in a folder of its name in ``work``."""
    from nestvec_exporters import source as sources  # noqa: PLC0415 - seconds of imports

    hears.stage("loading the weights")
    source = sources.load(checkpoint)
    shape = _Shape(
        dims=ladder(source.dim, options.dims),
        layers=exit_ladder(options.exits, source.layers),
        tokens=sources.max_tokens(source, options.max_tokens),
    )
    folder = work / options.name
    (folder / GRAPH).parent.mkdir(parents=True)
    tokenizer = sources.tokenizer(source)
    tokenizer.save(str(folder / TOKENIZER))
    texts = distinct(options.sample, source.dim) if options.sample else ()
    traced = _trace(source, work, shape, hears)
    sample = replace(options.sample, texts=texts) if options.sample else None
    fitted = _fit(options, source, traced, shape, sample, hears) if sample else None
    _write_graph(source, options.precision, traced, folder / GRAPH, shape, fitted, hears)
    hears.stage("comparing with the checkpoint's vectors")
    verification = _verify(source, folder, options.precision, shape, fitted)
    if fitted is not None and fitted.rotation is not None:
        np.save(folder / ROTATION, fitted.rotation.astype(np.float32), allow_pickle=False)
    serving = _serving(options, folder, shape.tokens, hears)
    manifest = _manifest(options, checkpoint, source, verification, shape, fitted, folder)
    config = config_pbtxt(
        options.name, source.dim, tokens=shape.tokens, exits=len(shape.layers) > 1, serving=serving
    )
    (folder / CONFIG).write_text(config, "utf-8")
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", "utf-8")
    return manifest


def _trace(source: Source, work: Path, shape: _Shape, hears: Listener) -> Path:
    from nestvec_exporters.graph import write_graph  # noqa: PLC0415 - seconds of imports

    hears.stage("tracing the graph")
    traced = work / "traced" / "graph.onnx"
    traced.parent.mkdir()
    write_graph(source, traced, shape.shallow)
    return traced


def _fit(
    options: ExportOptions,
    source: Source,
    traced: Path,
    shape: _Shape,
    sample: Sample,
    hears: Listener,
) -> Fitted:
    from nestvec_exporters.sampling import exit_vectors, with_sentences  # noqa: PLC0415 - seconds of imports
    from nestvec_exporters.source import tokenizer  # noqa: PLC0415

    hears.stage(f"embedding {len(sample.texts)} texts of the sample {sample.name}")
    prompt = source.prompts.get("document", "")
    cutting = tokenizer(source)
    cutting.enable_truncation(shape.tokens)
    given = [f"{prompt}{text}" for text in with_sentences(sample.texts, seed=options.seed)]
    vectors = exit_vectors(traced, cutting, given, shape.layers, hears.step)
    hears.stage(f"fitting the {options.rotation} rotation" if options.rotation else "fitting the exits")
    how = Fitting(options.rotation, shape.dims, options.seed)
    return fit(vectors, sample.name, how, hears.step)


def _serving(options: ExportOptions, folder: Path, tokens: int, hears: Listener) -> Serving:
    """How Triton is to run what is in ``folder``; with format tensorrt, the plan is built there first."""
    fp16 = options.precision == "fp16"
    if options.format == "onnx":
        return Serving(gpus=options.gpus, tensorrt=options.accelerate, fp16=fp16)
    hears.stage("building the TensorRT plan")
    shapes = profiles(tokens)
    build_plan(folder / GRAPH, folder / PLAN, shapes)
    return Serving(format="tensorrt", gpus=options.gpus, profiles=len(shapes))


def _write_graph(
    source: Source,
    precision: Precision,
    traced: Path,
    target: Path,
    shape: _Shape,
    fitted: Fitted | None,
    hears: Listener,
) -> None:
    import onnx  # noqa: PLC0415 - seconds of imports

    from nestvec_exporters.exits import nest_exits  # noqa: PLC0415
    from nestvec_exporters.fold import fold  # noqa: PLC0415
    from nestvec_exporters.graph import save_graph  # noqa: PLC0415
    from nestvec_exporters.precision import halve, quantise  # noqa: PLC0415

    graph = traced
    if precision == "int8":
        hears.stage("quantising to int8")
        graph = traced.with_name("int8.onnx")
        quantise(traced, graph, heads=source.heads, hidden=source.hidden)
    if precision == "fp16":
        hears.stage("converting to fp16")
        graph = traced.with_name("fp16.onnx")
        halve(traced, graph)
    model = onnx.load(str(graph))
    if fitted is not None:
        exits = {exit_output(layer): matrix for layer, matrix in fitted.maps.items()}
        whole = {} if fitted.rotation is None else {OUTPUT: fitted.rotation}
        # A rotation keeps lengths; a map does not.
        fold(model, {**exits, **whole}, normalised=frozenset(exits if source.normalised else ()))
    if shape.shallow:
        model = nest_exits(model, shape.layers)
    save_graph(model, target)


def _verify(
    source: Source, folder: Path, precision: Precision, shape: _Shape, fitted: Fitted | None
) -> Verification:
    from nestvec_exporters import verify  # noqa: PLC0415 - seconds of imports

    longest = min(shape.tokens, verify.LONGEST)
    texts = verify.texts()
    for layer, matrix in (fitted.maps if fitted else {}).items():
        expected = verify.exit_vectors(source, texts, longest, layer, matrix)
        verify.check_exit(expected, verify.exported_vectors(folder, texts, longest, layer), precision, layer)
    expected = verify.source_vectors(source, texts, longest)
    if fitted is not None and fitted.rotation is not None:
        expected = np.asarray(expected @ fitted.rotation, np.float32)
    whole = shape.layers[0] if shape.shallow else None
    return verify.compare(expected, verify.exported_vectors(folder, texts, longest, whole), precision)


def _manifest(
    options: ExportOptions,
    checkpoint: Checkpoint,
    source: Source,
    verification: Verification,
    shape: _Shape,
    fitted: Fitted | None,
    folder: Path,
) -> Manifest:
    pooling = "+".join(source.pooling)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    inputs = (*INPUTS, EXIT) if shape.shallow else INPUTS
    nesting: Nesting = "rotated" if options.rotation else ("trained" if checkpoint.trained else "plain")
    return Manifest(
        name=options.name,
        source=checkpoint.source,
        towers={"text": Tower(inputs=inputs, output=OUTPUT, pooling=pooling, max_tokens=shape.tokens)},
        dim=source.dim,
        dims=shape.dims,
        layers=shape.layers,
        normalised=source.normalised,
        prompts=source.prompts,
        precision=options.precision,
        nesting=nesting,
        retention=fitted.retention if fitted else {},
        exits=fitted.exits if fitted else {},
        fit=fitted.record if fitted else None,
        verification=verification,
        files={path.relative_to(folder).as_posix(): sha256(path) for path in files},
        created_with={name: version(name) for name in _RECORDED},
    )
