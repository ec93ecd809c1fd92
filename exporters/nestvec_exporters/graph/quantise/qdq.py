"""Graphs with QuantizeLinear and DequantizeLinear around what runs in int8 (QDQ)."""

from __future__ import annotations

from collections.abc import Collection

import onnx
from onnx import numpy_helper

_QUANTISE, _DEQUANTISE = "QuantizeLinear", "DequantizeLinear"
_SHAPE_OPERATORS = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze"})


def quantised_layers(model: onnx.ModelProto) -> dict[str, list[str]]:
    """What reads each quantised activation: names of operators by the name of the QuantizeLinear before
    them, in the graph's order."""
    readers = _readers(model.graph)
    layers: dict[str, list[str]] = {}
    for node in model.graph.node:
        if node.op_type == _QUANTISE:
            pairs = [pair for pair in readers.get(node.output[0], []) if pair.op_type == _DEQUANTISE]
            layers[node.name] = [name for pair in pairs for name in _operators(pair.output[0], readers)]
    return layers


def _operators(tensor: str, readers: dict[str, list[onnx.NodeProto]]) -> list[str]:
    """The operators that compute with a tensor, past those that only move it."""
    names: list[str] = []
    for node in readers.get(tensor, []):
        moves = node.op_type in _SHAPE_OPERATORS
        names += _operators(node.output[0], readers) if moves else [node.name or node.output[0]]
    return names


def in_float(model: onnx.ModelProto, quantisers: Collection[str]) -> onnx.ModelProto:
    """A copy whose activations behind these QuantizeLinear nodes stay in float, and with them the weights of
    what reads them."""
    changed: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    graph = changed.graph
    sources = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == _QUANTISE and node.name in quantisers
    }
    replaced = {
        node.output[0]: sources[node.input[0]]
        for node in graph.node
        if node.op_type == _DEQUANTISE and node.input[0] in sources
    }
    floating = [node for node in graph.node if not replaced.keys().isdisjoint(node.input)]
    for node in floating:
        for place, name in enumerate(node.input):
            node.input[place] = replaced.get(name, name)
    _widen_weights(graph, floating)
    _remove_unread(graph)
    return changed


def _widen_weights(graph: onnx.GraphProto, floating: list[onnx.NodeProto]) -> None:
    """Write the weights of operators that no longer read int8 as float32: dequantising them costs a pass over
    them in each batch."""
    makers = {node.output[0]: node for node in graph.node if node.op_type == _DEQUANTISE}
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    readers = _readers(graph)
    for operator in floating:
        for name in operator.input:
            pair = makers.get(name)
            if pair is None or any(part not in tensors for part in pair.input) or len(readers[name]) > 1:
                continue
            axis = next((item.i for item in pair.attribute if item.name == "axis"), 1)
            values, scale, *zero = (numpy_helper.to_array(tensors[part]) for part in pair.input)
            shape = [1] * values.ndim
            if scale.ndim:
                shape[axis] = -1
            centred = values.astype("float32") - (zero[0].astype("float32").reshape(shape) if zero else 0)
            wide = numpy_helper.from_array(centred * scale.reshape(shape), name)
            graph.initializer.append(wide)
            pair.output[0] = f"{name}/unread"


def _remove_unread(graph: onnx.GraphProto) -> None:
    """Remove nodes and weights that nothing reads."""
    outputs = {value.name for value in graph.output}
    while True:
        read = {name for node in graph.node for name in node.input} | outputs
        nodes = [node for node in graph.node if not read.isdisjoint(node.output)]
        if len(nodes) == len(graph.node):
            break
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
    tensors = [tensor for tensor in graph.initializer if tensor.name in read]
    tensors = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in tensors]
    del graph.initializer[:]
    graph.initializer.extend(tensors)


def _readers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers
