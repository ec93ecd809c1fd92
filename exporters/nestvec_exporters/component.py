"""One part of an encoder, a tower or an expert: its graph in the repository, compared with its source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from nestvec_exporters.graph.exits import nest_exits
from nestvec_exporters.graph.fold import fold
from nestvec_exporters.graph.precision import halve, quantise
from nestvec_exporters.graph.save import save_graph
from nestvec_exporters.graph.tensorrt import PLAN, build_plan, profiles
from nestvec_exporters.graph.tower import Half, Loaded
from nestvec_exporters.graph.triton import EXIT_PORT, OUTPUT, Port, Serving, config_pbtxt, exit_output
from nestvec_exporters.nesting.fit import Fitted
from nestvec_exporters.nesting.ladder import Shape
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.texts import MAX_PROBE_TOKENS
from nestvec_exporters.verify import compare
from nestvec_schemas.manifest import Precision, Verification
from nestvec_schemas.repository import CONFIG, GRAPH, part_folder
from nestvec_schemas.towers import Tower

OnStage = Callable[[str], None]


@dataclass(frozen=True)
class Piece:
    """A tower, or an expert's weights for one: the part of the encoder that it becomes, and of what it is."""

    part: str
    half: Half
    loaded: Loaded


def write_part(
    options: ExportOptions,
    piece: Piece,
    traced: Path,
    folder: Path,
    shape: Shape,
    fitted: Fitted | None,
    on_stage: OnStage,
) -> None:
    """The part's graph, in the precision asked for, and how Triton is to run it, into ``folder``."""
    (folder / GRAPH).parent.mkdir(parents=True)
    graph = _lowered(piece.half, options.precision, traced, on_stage)
    model = onnx.load(str(graph))
    if fitted is not None:
        exits = {exit_output(layer): matrix for layer, matrix in fitted.maps.items()}
        whole = {} if fitted.rotation is None else {OUTPUT: fitted.rotation}
        # A rotation keeps lengths; a map does not.
        fold(model, {**exits, **whole}, normalised=frozenset(exits if piece.loaded.normalised else ()))
    if shape.shallow:
        model = nest_exits(model, shape.layers)
    save_graph(model, folder / GRAPH)
    serving = _serving(options, folder, piece.half.tower, on_stage)
    inputs = [*_ports(piece.half), *([EXIT_PORT] if shape.shallow else [])]
    config = config_pbtxt(
        folder.name, inputs, _output(piece), tokens=piece.half.tower.max_tokens, serving=serving
    )
    (folder / CONFIG).write_text(config, "utf-8")


def verified(
    piece: Piece, folder: Path, precision: Precision, shape: Shape, fitted: Fitted | None
) -> Verification:
    """What a part of the encoder in ``folder`` gives, compared with its source. Raises VerificationFailed."""
    half, unit = piece.half, piece.loaded.normalised
    graph = part_folder(folder, piece.part) / GRAPH
    longest = min(half.tower.max_tokens, MAX_PROBE_TOKENS)
    probes = half.probes()
    rows = half.rows(folder, probes, longest)
    for layer, matrix in (fitted.maps if fitted else {}).items():
        expected = compare.exit_vectors(half, rows, layer, matrix, unit=unit)
        there = np.stack(compare.exported(graph, rows, layer))
        compare.check_exit(expected, there, precision, layer)
    reference = half.reference(probes, longest)
    if fitted is not None and fitted.rotation is not None:
        reference = np.asarray(np.asarray(reference) @ fitted.rotation, np.float32)
    whole = shape.layers[0] if shape.shallow else None
    found = compare.exported(graph, rows, whole, alone=half.tower.alone)
    return compare.compared(reference, found, piece.loaded.kind, precision)


def _lowered(half: Half, precision: Precision, traced: Path, on_stage: OnStage) -> Path:
    if half.lowered or half.graph is not None:
        return traced
    if precision == "int8":
        on_stage("quantising to int8")
        graph = traced.with_name("int8.onnx")
        quantise(traced, graph, heads=half.heads, hidden=half.hidden)
        return graph
    if precision == "fp16":
        on_stage("converting to fp16")
        graph = traced.with_name("fp16.onnx")
        halve(traced, graph)
        return graph
    return traced


def _serving(options: ExportOptions, folder: Path, tower: Tower, on_stage: OnStage) -> Serving:
    """How Triton is to run what is in ``folder``; with format tensorrt, the plan is built there first."""
    fp16 = options.precision == "fp16"
    if options.format == "onnx":
        return Serving(gpus=options.gpus, tensorrt=options.accelerate, fp16=fp16, alone=tower.alone)
    on_stage("building the TensorRT plan")
    shapes = profiles(tower.max_tokens)
    build_plan(folder / GRAPH, folder / PLAN, shapes)
    return Serving(format="tensorrt", gpus=options.gpus, profiles=len(shapes))


def _ports(half: Half) -> list[Port]:
    return [
        Port(name, str(one.dtype).removeprefix("torch."), _dims(half, name, one.shape))
        for name, one in half.example.items()
    ]


def _dims(half: Half, name: str, shape: Sequence[int]) -> tuple[int | None, ...]:
    free = half.axes.get(name, {})
    return tuple(None if axis in free else int(size) for axis, size in enumerate(shape) if axis)


def _output(piece: Piece) -> Port:
    tokens = (None,) if piece.loaded.kind == "multivector" else ()
    return Port(OUTPUT, "float32", (*tokens, piece.loaded.dim))
