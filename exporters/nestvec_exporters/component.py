"""One component of an encoder, a tower or an expert: written into the repository and verified."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from nestvec_exporters.graph.exits import multiply_outputs, nest_exits
from nestvec_exporters.graph.float16_range import check_float16_range
from nestvec_exporters.graph.fusion import fuse_transformer
from nestvec_exporters.graph.precision import convert_fp16, half_nodes
from nestvec_exporters.graph.quantise.apply import quantise
from nestvec_exporters.graph.quantise.lengths import pad_lengths
from nestvec_exporters.graph.save import save_graph
from nestvec_exporters.graph.tensorrt import PLAN, build_tensorrt_plan, optimisation_profiles
from nestvec_exporters.graph.tensors import EXIT_SPEC, OUTPUT, TensorSpec, exit_output
from nestvec_exporters.graph.tower import LoadedCheckpoint, TowerModel
from nestvec_exporters.graph.triton import TritonServing, config_pbtxt
from nestvec_exporters.nesting.fit import NestingFit
from nestvec_exporters.nesting.ladder import Ladders
from nestvec_exporters.options import QUANTISED, ExportOptions
from nestvec_exporters.probes.texts import MAX_PROBE_TOKENS
from nestvec_exporters.progress import Listener
from nestvec_exporters.verify import compare
from nestvec_schemas.errors import VerificationFailed
from nestvec_schemas.manifest import Precision, QuantisationSummary, Verification
from nestvec_schemas.packed_outputs import EXTRA_COLUMNS, SPARSE_DTYPE, unpack
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.repository import CONFIG, GRAPH, part_folder
from nestvec_schemas.towers import Tower

OnStage = Callable[[str], None]


@dataclass(frozen=True)
class Component:
    """A tower, or an expert's weights for one."""

    part: str
    """The part of the encoder that it becomes."""

    tower: TowerModel

    loaded: LoadedCheckpoint
    """The checkpoint that it belongs to."""


def write_component(
    options: ExportOptions,
    component: Component,
    traced: Path,
    encoder: Path,
    ladders: Ladders,
    fitted: NestingFit | None,
    listener: Listener,
) -> QuantisationSummary | None:
    """Write the component's graph, in the export's precision, and Triton's configuration into its folder,
    of the encoder in ``encoder``. Return how it was quantised."""
    folder = part_folder(encoder, component.part)
    (folder / GRAPH).parent.mkdir(parents=True)
    tower, on_stage = component.tower, listener.stage
    summary = None
    if options.precision in QUANTISED and not tower.in_precision:
        files = component.loaded.files_of(encoder, component.part)
        graph = traced.with_name(f"{options.precision}.onnx")
        summary = quantise(options, tower, component.loaded, traced, graph, files=files, listener=listener)
    else:
        graph = _in_precision(tower, options, traced, on_stage)
    model = onnx.load(str(graph))
    if summary is not None:
        _pad_lengths(model, tower)
    if fitted is not None:
        exits = {exit_output(layer): matrix for layer, matrix in fitted.exit_maps.items()}
        rotation = {} if fitted.rotation is None else {OUTPUT: fitted.rotation}
        # A rotation keeps lengths; a map does not.
        unit_outputs = frozenset(exits if component.loaded.normalised else ())
        multiply_outputs(model, {**exits, **rotation}, normalised=unit_outputs)
    if ladders.shallow:
        model = nest_exits(model, ladders.layers)
    save_graph(model, folder / GRAPH)
    serving = _serving(options, folder, component.tower.spec, on_stage)
    inputs = [*_input_specs(component.tower), *([EXIT_SPEC] if ladders.shallow else [])]
    config = config_pbtxt(
        folder.name,
        inputs,
        _output_spec(component),
        max_tokens=component.tower.spec.max_tokens,
        serving=serving,
    )
    (folder / CONFIG).write_text(config, "utf-8")
    return summary


def verify_component(
    component: Component,
    folder: Path,
    precision: Precision,
    ladders: Ladders,
    fitted: NestingFit | None,
    *,
    has_library: bool,
) -> Verification | None:
    """Compare a component of the encoder in ``folder`` with its source. Raises VerificationFailed.

    Where the checkpoint's library will be the reference (``has_library``), only exits, which it does not
    have; the result is then None.
    """
    tower, normalised = component.tower, component.loaded.normalised
    graph = part_folder(folder, component.part) / GRAPH
    exit_maps = fitted.exit_maps if fitted else {}
    if has_library and not exit_maps and not component.loaded.outputs:
        return None
    max_tokens = min(tower.spec.max_tokens, MAX_PROBE_TOKENS)
    probes = tower.probes()
    rows = tower.rows(component.loaded.files_of(folder, component.part), probes, max_tokens)
    for layer, matrix in exit_maps.items():
        expected = compare.reference_exit_vectors(tower, rows, layer, matrix, normalised=normalised)
        exported = np.stack(compare.run_graph(graph, rows, layer))
        compare.check_exit_vectors(expected, exported, precision, layer)
    if component.loaded.outputs:
        _verify_outputs(component, graph, rows, list(tower.reference(probes, max_tokens)), precision)
    if has_library:
        return None
    reference = tower.reference(probes, max_tokens)
    if fitted is not None and fitted.rotation is not None:
        reference = np.asarray(np.asarray(reference) @ fitted.rotation, np.float32)
    deepest = ladders.layers[0] if ladders.shallow else None
    outputs = compare.run_graph(graph, rows, deepest, unbatched=tower.spec.alone)
    return compare.compare_outputs(reference, outputs, component.loaded.kind, precision)


def _verify_outputs(
    component: Component,
    graph: Path,
    rows: Sequence[Arrays],
    reference: Sequence[Array],
    precision: Precision,
) -> None:
    """Compare what a pass gives besides the checkpoint's kind. Raises VerificationFailed."""
    packed = compare.run_graph(graph, rows, unbatched=component.tower.spec.alone)
    for kind, dim in component.loaded.outputs.items():
        expected, exported = (
            [_dense_weights(unpack(array, kind), dim) for array in arrays] for arrays in (reference, packed)
        )
        try:
            compare.compare_outputs(expected, exported, kind, precision)
        except VerificationFailed as error:
            raise error.reworded(cause=f"{error.cause} ({kind})") from error


def _dense_weights(output: Array, dim: int) -> Array:
    """The weights of words, (k,) SPARSE_DTYPE, as (dim,) float32; other outputs as they are."""
    if output.dtype != SPARSE_DTYPE:
        return output
    weights = np.zeros(dim, np.float32)
    weights[output["index"]] = output["value"]
    return weights


def _pad_lengths(model: onnx.ModelProto, tower: TowerModel) -> None:
    """Round up the lengths of texts inside a graph whose activations are rounded."""
    inputs = [
        name
        for name, axes in tower.dynamic_axes.items()
        if axes.get(1) == "tokens" and name in tower.example and tower.example[name].ndim == 2
    ]
    if inputs:
        token_outputs = [OUTPUT] if 1 in tower.dynamic_axes.get(OUTPUT, {}) else []
        pad_lengths(model, inputs, tower.spec.max_tokens, token_outputs)


def _in_precision(tower: TowerModel, options: ExportOptions, traced: Path, on_stage: OnStage) -> Path:
    precision = options.precision
    if tower.in_precision:
        if options.fuse:
            on_stage("not fused: the graph is taken as it is")
        if options.calibration is not None:
            on_stage("not calibrated: the graph is taken as it is")
        return traced
    if precision == "fp16":
        on_stage("converting to fp16")
        check_float16_range(tower, traced, half_nodes(traced))
        graph = traced.with_name("fp16.onnx")
        convert_fp16(_fused(tower, traced, on_stage) if options.fuse else traced, graph)
        return graph
    return _fused(tower, traced, on_stage) if options.fuse else traced


def _fused(tower: TowerModel, traced: Path, on_stage: OnStage) -> Path:
    """The graph with fused attention, or as it is where ONNX Runtime's optimiser does not recognise it."""
    from nestvec_exporters.graph.tracing.padding_check import class_of  # noqa: PLC0415 - torch

    on_stage("fusing attention and layer norms")
    fused = fuse_transformer(tower, traced, traced.with_name("fused.onnx"))
    transformer = class_of(tower.module())
    on_stage(
        f"fused {transformer}: {fused}"
        if fused.attentions
        else f"not fused: ONNX Runtime's optimiser does not recognise the attention of {transformer}"
    )
    return fused.path


def _serving(options: ExportOptions, folder: Path, spec: Tower, on_stage: OnStage) -> TritonServing:
    """How Triton runs what is in ``folder``; with format tensorrt, the plan is built there first."""
    fp16 = options.precision == "fp16"
    if options.format == "onnx":
        return TritonServing(
            backend=options.backend,
            gpus=options.gpus,
            instances=options.instances,
            tensorrt=options.accelerate,
            fp16=fp16,
            unbatched=spec.alone,
        )
    on_stage("building the TensorRT plan")
    shapes = optimisation_profiles(spec.max_tokens)
    build_tensorrt_plan(folder / GRAPH, folder / PLAN, shapes)
    return TritonServing(
        backend="tensorrt", gpus=options.gpus, instances=options.instances, profiles=len(shapes)
    )


def _input_specs(tower: TowerModel) -> list[TensorSpec]:
    return [
        TensorSpec(name, str(array.dtype), _dims(tower, name, array.shape))
        for name, array in tower.example.items()
    ]


def _dims(tower: TowerModel, name: str, shape: Sequence[int]) -> tuple[int | None, ...]:
    dynamic = tower.dynamic_axes.get(name, {})
    return tuple(None if axis in dynamic else int(size) for axis, size in enumerate(shape) if axis)


def _output_spec(component: Component) -> TensorSpec:
    if component.loaded.outputs:
        return TensorSpec(OUTPUT, "float32", (None, component.loaded.dim + EXTRA_COLUMNS))
    tokens = (None,) if component.loaded.kind == "multivector" else ()
    return TensorSpec(OUTPUT, "float32", (*tokens, component.loaded.dim))
