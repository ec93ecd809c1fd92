"""Weights in blocks of 8 or 4 bits, activations in float: for decoders, whose memory is their weights.

ONNX Runtime and OpenVINO read the same file (``MatMulNBits``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper

from nestvec_exporters.checkpoints.quiet import captured_output
from nestvec_exporters.graph.quantise.calibration import Calibration, outputs_of, similarities
from nestvec_exporters.graph.quantise.runner import open_model
from nestvec_exporters.graph.save import save_graph
from nestvec_schemas.errors import VerificationFailed
from nestvec_schemas.manifest import QuantisationSummary
from nestvec_schemas.preprocessing.collate import Array

MIN_MEAN_COSINES: Final[dict[int, float]] = {8: 0.998, 4: 0.99}
"""The mean cosine to the graph in float, over held-out inputs, by the bits of a weight."""

_BLOCK: Final = 32
"""Weights that share a scale. In blocks of 32, all-MiniLM-L6-v2 in 4 bits has a mean cosine of 0.967."""

_MIN_TABLE_ROWS: Final = 256
_ACTIVATIONS_INT8: Final = 4
"""The operator's accuracy level that rounds activations to int8, each block of each row by its own scale."""


def quantise_weights(
    graph: Path,
    target: Path,
    bits: Literal[8, 4],
    calibration: Calibration,
    *,
    unbatched: bool = False,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> QuantisationSummary:
    """Write ``graph`` to ``target`` with matrices in blocks of ``bits`` bits, and tables of vectors in int8.

    In 4 bits, as few matrices as possible stay in 8 bits so that the output is near enough, those first
    that 4 bits change most. Raises VerificationFailed where the output does not reach MIN_MEAN_COSINES.
    """
    expected = outputs_of(open_model(graph), calibration.held_out, unbatched=unbatched)
    source = onnx.load(str(graph))

    def measured(wide: Collection[str]) -> Array:
        _write(source, target, bits, wide)
        outputs = outputs_of(open_model(target), calibration.held_out, unbatched=unbatched)
        return similarities(expected, outputs, calibration.kind, packed=calibration.packed)

    floor = MIN_MEAN_COSINES[bits]
    cosines, wide = measured(()), []
    order = _by_error(source) if bits == 4 else []
    low, high = 0, len(order)
    while cosines.mean() < floor and low < high:
        on_step(len(order) - (high - low), len(order))
        middle = (low + high) // 2
        if measured(order[: middle + 1]).mean() < floor:
            low = middle + 1
        else:
            high = middle
        if low == high:
            wide = order[: high + 1]
            cosines = measured(wide)
    if cosines.mean() < floor:
        raise VerificationFailed(
            f"weights of {bits} bits do not reach a mean cosine of {floor} to the encoder in float",
            value=f"{cosines.mean():.4f}",
            next_step="Export it with --precision "
            + ("int8-weights" if bits == 4 else "fp32")
            + "; nothing was written.",
        )
    return QuantisationSummary(
        sample=calibration.source,
        inputs=0,
        held_out=len(calibration.held_out),
        cosine_min=float(cosines.min()),
        cosine_mean=float(cosines.mean()),
        float_layers=tuple(wide),
    )


def _write(source: onnx.ModelProto, target: Path, bits: int, wide: Collection[str]) -> None:
    """Write the graph with matrices of ``bits`` bits, those named in ``wide`` of 8."""
    model = _in_bits(source, bits, exclude=wide)
    if wide:
        model = _in_bits(model, 8, exclude=())
    _quantise_tables(model.graph)
    target.unlink(missing_ok=True)
    save_graph(model, target)


def _in_bits(model: onnx.ModelProto, bits: int, exclude: Collection[str]) -> onnx.ModelProto:
    with captured_output():
        from onnxruntime.quantization.matmul_nbits_quantizer import (  # noqa: PLC0415 - slow
            DefaultWeightOnlyQuantConfig,
            MatMulNBitsQuantizer,
        )

        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        config = DefaultWeightOnlyQuantConfig(
            block_size=_BLOCK, is_symmetric=True, accuracy_level=_ACTIVATIONS_INT8, bits=bits
        )
        quantiser: Any = MatMulNBitsQuantizer(copy, algo_config=config, nodes_to_exclude=list(exclude))
        quantiser.process()
    quantised: onnx.ModelProto = quantiser.model.model
    return quantised


def _by_error(model: onnx.ModelProto) -> list[str]:
    """The names of operators with a matrix of weights, those first whose matrix 4 bits change most."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    errors = {
        node.name: _rounding_error(numpy_helper.to_array(tensors[node.input[1]]))
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in tensors
    }
    return sorted(errors, key=lambda name: -errors[name])


def _rounding_error(matrix: Array) -> float:
    """How much blocks of 4 bits change a matrix (k, n), relative to its size."""
    rows = len(matrix) // _BLOCK * _BLOCK
    if not rows:
        return 0.0
    blocks = matrix[:rows].reshape(-1, _BLOCK, matrix.shape[1])
    steps = np.abs(blocks).max(axis=1, keepdims=True) / 7.5
    rounded = np.rint(blocks / np.where(steps > 0, steps, 1)) * steps
    return float(np.linalg.norm(rounded - blocks) / max(float(np.linalg.norm(blocks)), 1e-30))


def _quantise_tables(graph: onnx.GraphProto) -> None:
    """Store tables that rows are read from in int8, each row by its largest number / 127."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    readers: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    nodes: list[onnx.NodeProto] = []
    stored: list[str] = []
    for node in graph.node:
        table = tensors.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or not _is_table(table) or readers[table.name] > 1:
            nodes.append(node)
            continue
        values = numpy_helper.to_array(table)
        scales = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-30) / 127
        names = [f"{table.name}/{part}" for part in ("int8", "scale", "rows", "scales", "wide")]
        graph.initializer.append(numpy_helper.from_array(np.rint(values / scales).astype(np.int8), names[0]))
        graph.initializer.append(numpy_helper.from_array(scales.astype(np.float32), names[1]))
        nodes += [
            helper.make_node("Gather", [names[0], node.input[1]], [names[2]], axis=0),
            helper.make_node("Gather", [names[1], node.input[1]], [names[3]], axis=0),
            helper.make_node("Cast", [names[2]], [names[4]], to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", [names[4], names[3]], [node.output[0]], name=node.name),
        ]
        stored.append(table.name)
    tensor_copies = [
        onnx.TensorProto.FromString(tensor.SerializeToString())
        for tensor in graph.initializer
        if tensor.name not in stored
    ]
    node_copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.initializer[:]
    graph.initializer.extend(tensor_copies)
    del graph.node[:]
    graph.node.extend(node_copies)


def _is_table(tensor: onnx.TensorProto) -> bool:
    return (
        tensor.data_type == onnx.TensorProto.FLOAT
        and len(tensor.dims) == 2
        and tensor.dims[0] >= _MIN_TABLE_ROWS
    )
