"""Heads of a graph that map its vectors into the spaces of other encoders, chosen row by row."""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nestvec_exporters.bridge.token_table import add_token_sums, add_token_table
from nestvec_exporters.graph.tensors import OUTPUT
from nestvec_exporters.space_maps.mapping import BridgeMap, HiddenLayer, TokenTable
from nestvec_schemas.towers import EXIT_INPUT

_PREFIX: Final = "nestvec/bridge/"
"""The prefix of the names that are added; no traced name has it."""

_OWN: Final = f"{_PREFIX}own"
"""The graph's own vectors, (batch, d) float32."""

_TENSORS: Final = ("exit", "matrix", "bias", "weights", "hidden_bias", "output", "tokens")


@dataclass(frozen=True)
class Head:
    """A map, the number of the exit that it answers to, and the tokens that it may read."""

    exit: int
    """A number above the graph's layers."""

    mapping: BridgeMap

    tokens: TokenTable | None = None
    """A map that is wider than the graph's own vectors reads it. A head whose name is another's, with a part
    behind a slash, reads the other's."""


def read_heads(model: onnx.ModelProto) -> dict[str, Head]:
    """The heads that ``set_heads`` gave a graph, by name."""
    values: dict[str, dict[str, onnx.TensorProto]] = {}
    for tensor in model.graph.initializer:
        name, _, part = tensor.name.removeprefix(_PREFIX).rpartition("/")
        if tensor.name.startswith(_PREFIX) and name and part in _TENSORS:
            values.setdefault(name, {})[part] = tensor
    heads = {}
    for name, tensors in values.items():
        arrays = {part: numpy_helper.to_array(tensor) for part, tensor in tensors.items()}
        hidden = None
        if "weights" in arrays:
            hidden = HiddenLayer(arrays["weights"], arrays["hidden_bias"], arrays["output"])
        mapping = BridgeMap(arrays["matrix"], arrays["bias"], hidden)
        heads[name] = Head(int(arrays["exit"]), mapping, arrays.get("tokens"))
    return heads


def set_heads(
    model: onnx.ModelProto,
    heads: Mapping[str, Head],
    *,
    own_dim: int,
    has_own_exits: bool,
    normalised: bool = True,
) -> None:
    """Give a graph, whose own vectors are ``own_dim`` long, these heads and no others, in place.

    Without any it is as it was before its first.

    A row whose EXIT_INPUT is a head's exit is the head's vector, of length 1; every other row is what it was.
    Rows are as long as the longest of them; shorter ones end in zeros. The arithmetic is float32, whatever
    the graph's own. Maps are of vectors of length 1: without ``normalised``, the graph's own vectors are
    brought to it before they are mapped. A graph that has no exits of its own receives the input
    EXIT_INPUT, (batch, 1) int64. A map that is wider than ``own_dim`` reads its ``tokens`` too.
    """
    graph = model.graph
    _remove_heads(graph, own_dim, has_own_exits=has_own_exits)
    if not heads:
        return
    _rename(graph, OUTPUT, _OWN)
    if not has_own_exits:
        graph.input.append(helper.make_tensor_value_info(EXIT_INPUT, TensorProto.INT64, ["batch", 1]))
    mapped_from = _OWN
    if not normalised:
        mapped_from = f"{_PREFIX}own_unit"
        graph.node.append(helper.make_node("LpNormalization", [_OWN], [mapped_from], axis=1, p=2))
    for name, head in heads.items():
        if head.tokens is not None:
            add_token_table(graph, f"{_PREFIX}{name}/", head.tokens)
    width = max(own_dim, *(head.mapping.dim for head in heads.values()))
    selected = _padded(graph, graph.node, _OWN, own_dim, width)
    for name, head in heads.items():
        place, table = f"{_PREFIX}{name}/", f"{_PREFIX}{name.partition('/')[0]}/"
        branch: list[onnx.NodeProto] = []
        inputs = mapped_from
        if head.mapping.width > own_dim:
            inputs = _add_tokens(branch, place, mapped_from, table)
        mapped = _add_map(graph, branch, place, inputs, head.mapping)
        _padded(graph, branch, mapped, head.mapping.dim, width)
        selected = _add_choice(graph, place, head.exit, branch, selected)
    graph.node.append(helper.make_node("Identity", [selected], [OUTPUT], f"{_PREFIX}result"))
    _set_output_dim(graph, width)


def _add_choice(
    graph: onnx.GraphProto, place: str, number: int, branch: list[onnx.NodeProto], others: str
) -> str:
    """Add what gives a row the output of the last node of ``branch`` if its exit is ``number``, else
    ``others``; the name of the tensor. ``branch`` runs only in batches that have such a row."""
    _constant(graph, f"{place}exit", np.array(number, np.int64))
    is_meant, selected = f"{place}is_meant", f"{place}selected"
    mapped = branch[-1].output[0]
    branch.append(helper.make_node("Where", [is_meant, mapped, others], [f"{place}with_mapped"]))
    branches = {
        "then_branch": _branch(f"{place}mapped", branch, f"{place}with_mapped"),
        "else_branch": _branch(
            f"{place}unmapped",
            [helper.make_node("Identity", [others], [f"{place}without_mapped"])],
            f"{place}without_mapped",
        ),
    }
    graph.node.extend(
        [
            helper.make_node("Equal", [EXIT_INPUT, f"{place}exit"], [is_meant]),
            helper.make_node("Cast", [is_meant], [f"{place}meant"], to=TensorProto.INT32),
            helper.make_node("ReduceMax", [f"{place}meant"], [f"{place}most"], keepdims=0),
            helper.make_node("Cast", [f"{place}most"], [f"{place}any_meant"], to=TensorProto.BOOL),
            helper.make_node("If", [f"{place}any_meant"], [selected], **branches),
        ]
    )
    return selected


def _branch(name: str, nodes: list[onnx.NodeProto], output: str) -> onnx.GraphProto:
    """A branch of an If, which reads the tensors of the graph around it."""
    return helper.make_graph(
        nodes, name, [], [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    )


def _add_tokens(nodes: list[onnx.NodeProto], place: str, own: str, table: str) -> str:
    """Add what the map of a head reads where it reads tokens: the graph's vectors of length 1, ``own``, and
    the sums of tokens behind them; the name of the tensor. ``table`` begins the names of the table."""
    inputs = f"{place}own_and_tokens"
    sums = add_token_sums(nodes, place, table)
    nodes.append(helper.make_node("Concat", [own, sums], [inputs], axis=1))
    return inputs


def _add_map(
    graph: onnx.GraphProto, nodes: list[onnx.NodeProto], place: str, vectors: str, mapping: BridgeMap
) -> str:
    """Add the nodes of a map of ``vectors``, (batch, d), and its matrices to the graph; the name of the
    mapped ones, (batch, dim), of length 1."""
    _constant(graph, f"{place}matrix", mapping.matrix)
    _constant(graph, f"{place}bias", mapping.bias)
    nodes.append(helper.make_node("MatMul", [vectors, f"{place}matrix"], [f"{place}product"]))
    nodes.append(helper.make_node("Add", [f"{place}product", f"{place}bias"], [f"{place}linear"]))
    mapped = f"{place}linear"
    if mapping.hidden is not None:
        _constant(graph, f"{place}weights", mapping.hidden.weights)
        _constant(graph, f"{place}hidden_bias", mapping.hidden.bias)
        _constant(graph, f"{place}output", mapping.hidden.output)
        nodes.extend(
            [
                helper.make_node("MatMul", [vectors, f"{place}weights"], [f"{place}hidden_product"]),
                helper.make_node("Add", [f"{place}hidden_product", f"{place}hidden_bias"], [f"{place}raw"]),
                helper.make_node("Relu", [f"{place}raw"], [f"{place}active"]),
                helper.make_node("MatMul", [f"{place}active", f"{place}output"], [f"{place}residual"]),
                helper.make_node("Add", [mapped, f"{place}residual"], [f"{place}sum"]),
            ]
        )
        mapped = f"{place}sum"
    unit = f"{place}unit"
    nodes.append(helper.make_node("LpNormalization", [mapped], [unit], axis=1, p=2))
    return unit


def _padded(
    graph: onnx.GraphProto, nodes: MutableSequence[onnx.NodeProto], name: str, dim: int, width: int
) -> str:
    """A tensor's name, (batch, width): the tensor ``name``, (batch, dim), with zeros at the end."""
    if dim == width:
        return name
    padded, pads = f"{name}_padded", f"{name}_pads"
    if not padded.startswith(_PREFIX):
        raise ValueError(f"{name} is not a tensor of a bridge")
    _constant(graph, pads, np.array([0, 0, 0, width - dim], np.int64))
    nodes.append(helper.make_node("Pad", [name, pads], [padded]))
    return padded


def _remove_heads(graph: onnx.GraphProto, own_dim: int, *, has_own_exits: bool) -> None:
    if not any(_OWN in node.output for node in graph.node):
        return
    nodes = [
        node
        for node in graph.node
        if not any(name.startswith(_PREFIX) and name != _OWN for name in node.output)
        and node.name != f"{_PREFIX}result"
    ]
    del graph.node[:]
    graph.node.extend(nodes)
    initializers = [tensor for tensor in graph.initializer if not tensor.name.startswith(_PREFIX)]
    del graph.initializer[:]
    graph.initializer.extend(initializers)
    if not has_own_exits:
        inputs = [value for value in graph.input if value.name != EXIT_INPUT]
        del graph.input[:]
        graph.input.extend(inputs)
    _rename(graph, _OWN, OUTPUT)
    _set_output_dim(graph, own_dim)


def _rename(graph: onnx.GraphProto, name: str, new_name: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for at, tensor_name in enumerate(names):
                if tensor_name == name:
                    names[at] = new_name


def _constant(graph: onnx.GraphProto, name: str, value: NDArray[np.generic]) -> None:
    array = np.ascontiguousarray(value, np.int64 if value.dtype.kind == "i" else np.float32)
    graph.initializer.append(numpy_helper.from_array(array.reshape(value.shape), name))


def _set_output_dim(graph: onnx.GraphProto, dim: int) -> None:
    (output,) = (value for value in graph.output if value.name == OUTPUT)
    output.type.tensor_type.shape.dim[-1].dim_value = dim
