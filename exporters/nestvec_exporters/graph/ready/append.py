"""What is appended to an existing graph, so that its output is the service's.

The nodes are those of the graph's own opset, because such graphs come in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper

from nestvec_exporters.checkpoints.graphs.external_data import graphs_of
from nestvec_exporters.checkpoints.prompts import Prefix
from nestvec_exporters.graph.ready.modules import VectorModule
from nestvec_exporters.graph.ready.node_builder import NodeBuilder
from nestvec_exporters.graph.ready.onnx_file import opset_of
from nestvec_exporters.graph.ready.onnx_graph import OnnxGraph
from nestvec_exporters.graph.ready.pooling import TokenTensors, pool, visible_mask
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.probes.pairs import TYPE_IDS
from nestvec_schemas.late_interaction import KEEP_INPUT

_MASK: Final = INPUTS[1]


@dataclass(frozen=True)
class Appended:
    """What follows the graph's output, in order."""

    inputs: tuple[str, ...]
    """The inputs of the graph that results."""

    width: int
    """Of the vectors at the end."""

    before: tuple[VectorModule, ...] = ()
    """Modules of token vectors."""

    poolings: tuple[str, ...] = ()
    """Empty where vectors stay as they are: a text's own, a score, or token vectors."""

    prefixes: tuple[Prefix, ...] = ()
    """Prompts that pooling omits."""

    after: tuple[VectorModule, ...] = ()
    """Modules of pooled vectors."""

    keeps_tokens: bool = False
    """Whether the output is a vector per token: those that KEEP_INPUT keeps, zeros for the others."""


def append_outputs(model: onnx.ModelProto, graph: OnnxGraph, appended: Appended) -> None:
    """Append it to the model, in place; its inputs become int64, and what it gives float32.

    Raises CheckpointUnsupported where the graph's opset lacks an operator.
    """
    prefix = _free_prefix(model)
    before, after = NodeBuilder(opset_of(model), f"{prefix}i"), NodeBuilder(opset_of(model), prefix)
    # Those of the service's own type stay, so that ONNX Runtime can fuse what reads them.
    converted = {
        name: kind
        for name, kind in graph.inputs.items()
        if name not in appended.inputs or kind != TensorProto.INT64 or (name == _MASK and appended.prefixes)
    }
    renamed = {name: f"{prefix}/{name}" for name in (*converted, OUTPUT)}
    _rename(model.graph, renamed)
    for name, kind in converted.items():
        _append_input(before, name, renamed[name], kind, appended.inputs)
    last = _append_modules(after, renamed.get(graph.output, graph.output), appended)
    after.nodes.append(helper.make_node("Identity", [last], [OUTPUT]))
    nodes = [*before.nodes, *model.graph.node, *after.nodes]
    constants = [*model.graph.initializer, *before.constants, *after.constants]
    _replace(model.graph.node, nodes)
    _replace(model.graph.initializer, constants)
    axes = _axes(model)
    _replace(
        model.graph.input,
        [helper.make_tensor_value_info(name, TensorProto.INT64, axes) for name in appended.inputs],
    )
    shape = [*(axes if appended.keeps_tokens else axes[:1]), appended.width]
    _replace(model.graph.output, [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, shape)])
    # What ONNX Runtime fuses depends on the other tensors' shapes.
    _replace(model.graph.value_info, [info for info in model.graph.value_info if info.name not in renamed])
    # Before 4, weights had to be inputs as well.
    model.ir_version = max(model.ir_version, 4)


def _axes(model: onnx.ModelProto) -> list[str | int | None]:
    """The names of a batch's axes: the graph's own, which its other tensors have too."""
    ids = next(tensor for tensor in model.graph.input if tensor.name == INPUTS[0])
    names = [axis.dim_param for axis in ids.type.tensor_type.shape.dim]
    return [name or default for name, default in zip(names, ("batch", "tokens"), strict=True)]


def _append_input(b: NodeBuilder, name: str, target: str, kind: int, inputs: Sequence[str]) -> None:
    """Nodes from the service's input to the graph's own, of its own type."""
    if name == _MASK:  # which may be COUNT_ALL
        source = b.binary("Min", b.cast(name), 1)
    elif name in inputs:
        source = name
    elif name == TYPE_IDS:  # of a text that stands alone
        source = b.add("Sub", ["input_ids", "input_ids"])
    else:  # POSITIONS
        zeros = b.add("Sub", ["input_ids", "input_ids"])
        ones = b.add("Add", [zeros, b.constant(1, np.int64)])
        order = b.add("CumSum", [ones, b.constant(1, np.int64)])
        source = b.add("Sub", [order, b.constant(1, np.int64)])
    b.nodes.append(helper.make_node("Cast", [source], [target], to=kind))


def _append_modules(b: NodeBuilder, output: str, appended: Appended) -> str:
    last = b.cast(output)
    for module in appended.before:
        last = module.nodes(b, last)
    if appended.poolings:
        counts = b.cast(_MASK)
        mask = visible = b.binary("Min", counts, 1) if appended.prefixes else counts
        if appended.prefixes:
            visible = visible_mask(b, "input_ids", counts, appended.prefixes)
        tensors = TokenTensors(last, mask, visible, hides_prompts=bool(appended.prefixes))
        last = pool(b, tensors, appended.poolings)
    for module in appended.after:
        last = module.nodes(b, last)
    if appended.keeps_tokens:
        last = b.add("Mul", [last, b.reshape(b.cast(KEEP_INPUT), [0, -1, 1])])
    return last


def _free_prefix(model: onnx.ModelProto) -> str:
    """A beginning that no tensor's name has: a graph may have been exported by nestvec before."""
    names = {name for graph in graphs_of(model) for node in graph.node for name in node.output}
    names |= {tensor.name for tensor in model.graph.initializer}
    prefix = "nestvec"
    while any(name.startswith(f"{prefix}/") or name.startswith(f"{prefix}i/") for name in names):
        prefix += "_"
    return prefix


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename tensors in a graph and in the bodies of its loops and branches."""
    for node in graph.node:
        for field in (node.input, node.output):
            for place, tensor in enumerate(field):
                field[place] = names.get(tensor, tensor)
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _rename(inner, names)
                for value in inner.output:
                    value.name = names.get(value.name, value.name)


def _replace(field: Any, values: Sequence[Any]) -> None:
    copies = [type(message).FromString(message.SerializeToString()) for message in values]
    del field[:]
    field.extend(copies)
