"""Lowering a graph's precision."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx

from nestvec_exporters.checkpoints.quiet import captured_output
from nestvec_exporters.graph.save import MAX_PROTOBUF_BYTES, save_graph
from nestvec_exporters.graph.tensors import INPUTS
from nestvec_schemas.errors import EncoderError

# Mean squares of RMS norms: in half precision the square of 256 is already infinite.
_FLOAT32_OPERATORS: Final = ("Pow", "ReduceMean", "Sqrt")

_TRANSFORMER: Final = "/transformer/"
"""The prefix of the traced names of the transformer's nodes; pooling and head have others."""

_MAX_CONVOLUTION_SHARE: Final = 0.9
_ROTARY: Final = "/rotary_emb/"
"""Angles of rotary positions: in half precision the 300th token's is wrong by a hundredth of a turn."""

_FUSION_ERROR: Final = 0.01
"""Far above what fusing costs, far below what a missing operand does."""

_FATAL: Final = 4
"""onnxruntime's level of logging that says least."""

_FLOAT16_CAST: Final = "_cast_to_fp16_node"
"""The suffix of the casts that onnxruntime's converter inserts after a float32 node."""


def quantise_int8(graph: Path, target: Path, *, heads: int, hidden: int) -> None:
    """Write ``graph`` with int8 weights to ``target``: per channel, activations quantised dynamically.

    Per channel because one scale per matrix costs far more accuracy (all-MiniLM-L6-v2: mean cosine 0.956
    against 0.993) and no less time. The graph is fused first, so that attention runs in int8 as a whole.
    Activations have one scale per batch, so a text's vector depends a little on what shares its batch
    (alone against among 16: a cosine of 0.985 at least).
    Convolutions stay in float32: quantised dynamically they take 3 to 6 times as long (ResNet-18, ConvNeXt).
    Raises EncoderError where they are most of the graph. ``heads`` is 0 where there is no attention to fuse.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415 - slow

    convolutions = _convolutions(graph)
    large = sum(path.stat().st_size for path in graph.parent.iterdir()) > MAX_PROTOBUF_BYTES
    fused = target.with_name("fused.onnx")
    source = fuse(graph, fused, heads=heads, hidden=hidden, large=large) if heads else graph
    with captured_output():
        quantize_dynamic(
            source,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=convolutions,
            use_external_data_format=large,
            # Nodes that fusion added have no inferred type; everything in these graphs is float.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )


def _convolutions(graph: Path) -> list[str]:
    """The names of a graph's convolutions. Raises EncoderError where most of its weights are theirs."""
    read = onnx.load(str(graph), load_external_data=False).graph
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in read.initializer}
    nodes = [node for node in read.node if node.op_type == "Conv"]
    share = sum(sizes.get(node.input[1], 0) for node in nodes) / max(1, sum(sizes.values()))
    if share > _MAX_CONVOLUTION_SHARE:
        raise EncoderError(
            "int8 would not make this encoder faster: most of its weights are in convolutions, which have no "
            "fast int8 without calibration",
            value=f"{share:.0%} of the weights",
            next_step="Export it with --precision fp32, or fp16 for a GPU.",
        )
    return [node.name for node in nodes]


def half_nodes(graph: Path) -> list[str]:
    """The names of the nodes of a traced graph that ``convert_fp16`` converts."""
    read = onnx.load(str(graph), load_external_data=False).graph
    blocked = set(_float32_nodes(read))
    return [
        node.name for node in read.node if node.name not in blocked and node.op_type not in _FLOAT32_OPERATORS
    ]


def convert_fp16(graph: Path, target: Path) -> None:
    """Write ``graph`` with the transformer's weights and arithmetic in float16 to ``target``.

    Inputs, pooling and what follows it stay in float32, and so does the output. The graph keeps its
    standard operators: onnxruntime fuses them when it loads it, TensorRT knows no others.
    On a CPU onnxruntime computes such a graph in float32: what is lost there is the weights' rounding.
    """
    from onnxruntime.transformers.float16 import (  # noqa: PLC0415 - slow
        DEFAULT_OP_BLOCK_LIST,
        convert_float_to_float16,
    )
    from onnxruntime.transformers.onnx_model import OnnxModel  # noqa: PLC0415

    blocked = _float32_nodes(onnx.load(str(graph), load_external_data=False).graph)
    half: onnx.ModelProto = convert_float_to_float16(
        str(graph),
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_FLOAT32_OPERATORS],
        node_block_list=blocked,
    )
    _remove_round_trips(half.graph)
    OnnxModel.graph_topological_sort(half.graph)
    save_graph(half, target)


def _float32_nodes(graph: onnx.GraphProto) -> list[str]:
    """The nodes that stay in float32: outside the transformer, rotary angles, and what is added to the mean
    square of an RMS norm."""
    means = {name for node in graph.node if node.op_type == "ReduceMean" for name in node.output}
    return [
        node.name
        for node in graph.node
        if (node.name.startswith("/") and (not node.name.startswith(_TRANSFORMER) or _ROTARY in node.name))
        or (node.op_type == "Add" and not means.isdisjoint(node.input))
    ]


def _remove_round_trips(graph: onnx.GraphProto) -> None:
    """Connect float32 nodes directly: the converter passes tensors between them through float16."""
    makers = {name: node for node in graph.node for name in node.output}
    straight = {}
    for node in graph.node:
        before = makers.get(node.input[0]) if _casts_to_float32(node) else None
        if before is not None and before.name.endswith(_FLOAT16_CAST):
            straight[node.output[0]] = before.input[0]
    outputs = {value.name for value in graph.output}
    # An output keeps its name; the node that makes it takes it on.
    named = {straight[output]: output for output in outputs if output in straight}
    for node in graph.node:
        for names in (node.input, node.output):
            for at, name in enumerate(names):
                name = straight.get(name, name)
                names[at] = named.get(name, name)
    read = {name for node in graph.node for name in node.input} | outputs
    outputs_written: set[str] = set()
    nodes = []
    for node in graph.node:
        detour = node.op_type == "Cast" and list(node.input) == list(node.output)
        # A tensor that two float32 nodes read was cast for each of them, under one name.
        if not detour and outputs_written.isdisjoint(node.output) and not read.isdisjoint(node.output):
            outputs_written.update(node.output)
            nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del graph.node[:]
    graph.node.extend(nodes)


def _casts_to_float32(node: onnx.NodeProto) -> bool:
    """Whether it casts to float32; the graph's own casts became ones to float16."""
    return node.op_type == "Cast" and node.attribute[0].i == onnx.TensorProto.FLOAT


def fuse(graph: Path, target: Path, *, heads: int, hidden: int, large: bool = False) -> Path:
    """Write the graph with attention and norms as single operators of onnxruntime; return its path.

    Return the graph's own path without attention that onnxruntime recognises, or where the result gives other
    vectors: it leaves out the fourth of ERNIE's embeddings.
    """
    from onnxruntime.transformers.optimizer import optimize_model  # noqa: PLC0415 - slow

    with captured_output():
        fused: Any = optimize_model(
            str(graph), model_type="bert", num_heads=heads, hidden_size=hidden, opt_level=0
        )
    if not fused.get_fused_operator_statistics().get("Attention"):
        return graph
    fused.save_model_to_file(str(target), use_external_data_format=large)
    return target if _same_vectors(graph, target) else graph


def _same_vectors(graph: Path, fused: Path) -> bool:
    """Whether both graphs give the same for a batch of ids; True for a graph of other inputs."""
    import onnxruntime  # noqa: PLC0415 - slow

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    sessions = [
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for path in (graph, fused)
    ]
    if tuple(item.name for item in sessions[0].get_inputs()) != INPUTS:
        return True
    ids = np.tile(np.arange(1, 4, dtype=np.int64), (2, 4))
    batch = dict(zip(INPUTS, (ids, np.ones_like(ids)), strict=True))
    own, other = (session.run(None, batch)[-1] for session in sessions)
    return bool(np.allclose(own, other, rtol=_FUSION_ERROR, atol=_FUSION_ERROR * np.abs(own).max()))
