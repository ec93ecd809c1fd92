"""A graph in half precision."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx

from nestvec_exporters.graph.save import save_graph

# Mean squares of RMS norms: in half precision the square of 256 is already infinite.
_FLOAT32_OPERATORS: Final = ("Pow", "ReduceMean", "Sqrt")

_TRANSFORMER: Final = "/transformer/"
"""The prefix of the traced names of the transformer's nodes; pooling and head have others."""

_ROTARY: Final = "/rotary_emb/"
"""Angles of rotary positions: in half precision the 300th token's is wrong by a hundredth of a turn."""

_FLOAT16_CAST: Final = "_cast_to_fp16_node"
"""The suffix of the casts that onnxruntime's converter inserts after a float32 node."""


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
