"""Matrices and exits in a graph: what nesting adds to a traced one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nestvec_exporters.graph.tensors import OUTPUT, exit_output
from nestvec_schemas.towers import EXIT_INPUT
from nestvec_schemas.vectors import Matrix

_PREFIX = "nestvec/"
"""The prefix of the names that are added; no traced name has it."""


def nest_exits(model: onnx.ModelProto, layers: Sequence[int]) -> onnx.ModelProto:
    """A graph that stops at its batch's deepest exit, made of one with an output for every exit.

    ``layers`` are the exits, deepest first; ``model`` has the output ``exit_output`` of each but the
    deepest, whose output is OUTPUT. The result has the input EXIT_INPUT, (batch, 1) int64: the layer after
    which each row stops, 0 for the deepest. It runs as deep as the deepest row and gives each row the vector
    of its own exit, so that requests for different exits may share a batch. Weights stay in place, once.
    """
    ladder = sorted(layers)
    outputs = [*(exit_output(layer) for layer in ladder[:-1]), OUTPUT]
    stages = _stages(model.graph, outputs)
    constants = [helper.make_tensor(_layer(layer), TensorProto.INT64, [], [layer]) for layer in ladder[:-1]]
    constants += [
        helper.make_tensor(f"{_PREFIX}depth", TensorProto.INT64, [], [ladder[-1]]),
        helper.make_tensor(f"{_PREFIX}none", TensorProto.INT64, [], [0]),
    ]
    nodes = [
        helper.make_node("Equal", [EXIT_INPUT, f"{_PREFIX}none"], [f"{_PREFIX}whole"]),
        helper.make_node("Where", [f"{_PREFIX}whole", f"{_PREFIX}depth", EXIT_INPUT], [f"{_PREFIX}asked"]),
        helper.make_node("ReduceMax", [f"{_PREFIX}asked"], [f"{_PREFIX}deepest"], keepdims=0),
        *_nested_nodes(0, ladder, outputs, stages),
        helper.make_node("Identity", [_rows(0)], [OUTPUT]),
    ]
    outputs_by_name = {value.name: value for value in model.graph.output}
    graph = helper.make_graph(
        nodes,
        model.graph.name,
        [*model.graph.input, helper.make_tensor_value_info(EXIT_INPUT, TensorProto.INT64, ["batch", 1])],
        [outputs_by_name[OUTPUT]],
        [*model.graph.initializer, *constants],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _stages(graph: onnx.GraphProto, outputs: Sequence[str]) -> list[list[onnx.NodeProto]]:
    """The nodes of each stage, in the graph's order: what an output needs beyond those before it."""
    makers = {name: at for at, node in enumerate(graph.node) for name in node.output}
    stage: dict[int, int] = {}
    for number, output in enumerate(outputs):
        pending = [output]
        while pending:
            at = makers.get(pending.pop())
            if at is not None and at not in stage:
                stage[at] = number
                pending.extend(graph.node[at].input)
    return [
        [_renamed(graph.node[at]) for at in sorted(stage) if stage[at] == number]
        for number in range(len(outputs))
    ]


def _nested_nodes(
    number: int, ladder: Sequence[int], outputs: Sequence[str], stages: Sequence[list[onnx.NodeProto]]
) -> list[onnx.NodeProto]:
    """The nodes from a stage on; they make ``_rows(number)``, each row's vector at its own exit."""
    here = _inner(outputs[number])
    if number == len(ladder) - 1:
        return [*stages[number], helper.make_node("Identity", [here], [_rows(number)])]
    deeper, stay = f"{_PREFIX}deeper_{number}", f"{_PREFIX}stay_{number}"
    more, rows = f"{_PREFIX}more_{number}", f"{_PREFIX}rows_more_{number}"
    then_branch = helper.make_graph(
        _nested_nodes(number + 1, ladder, outputs, stages),
        f"beyond_{ladder[number]}",
        [],
        [helper.make_tensor_value_info(_rows(number + 1), TensorProto.FLOAT, None)],
    )
    else_branch = helper.make_graph(
        [helper.make_node("Identity", [here], [stay])],
        f"stay_{ladder[number]}",
        [],
        [helper.make_tensor_value_info(stay, TensorProto.FLOAT, None)],
    )
    layer = _layer(ladder[number])
    return [
        *stages[number],
        helper.make_node("Greater", [f"{_PREFIX}deepest", layer], [more]),
        helper.make_node("If", [more], [deeper], then_branch=then_branch, else_branch=else_branch),
        helper.make_node("Greater", [f"{_PREFIX}asked", layer], [rows]),
        helper.make_node("Where", [rows, deeper, here], [_rows(number)]),
    ]


def _renamed(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for names in (copy.input, copy.output):
        for at, name in enumerate(names):
            names[at] = _inner(name)
    return copy


def _inner(name: str) -> str:
    return f"{_PREFIX}whole_vectors" if name == OUTPUT else name


def _layer(layer: int) -> str:
    return f"{_PREFIX}layer_{layer}"


def _rows(number: int) -> str:
    return f"{_PREFIX}rows_{number}"


def multiply_outputs(
    model: onnx.ModelProto, matrices: Mapping[str, Matrix], *, normalised: frozenset[str] = frozenset()
) -> None:
    """Multiply outputs of ``model``, (batch, d) float32, by ``matrices``, (d, d), in place.

    ``matrices`` maps an output's name to what its rows are multiplied by from the right; the outputs in
    ``normalised`` are then brought to length 1. The arithmetic is float32, whatever the graph's own.
    """
    for output, matrix in matrices.items():
        before, name = f"{output}/plain", f"{output}/matrix"
        for node in model.graph.node:
            for names in (node.input, node.output):
                for at, tensor_name in enumerate(names):
                    names[at] = before if tensor_name == output else tensor_name
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(matrix, np.float32), name))
        turned = f"{output}/turned" if output in normalised else output
        nodes = [helper.make_node("MatMul", [before, name], [turned], f"{output}/MatMul")]
        if output in normalised:
            nodes.append(helper.make_node("LpNormalization", [turned], [output], axis=1, p=2))
        model.graph.node.extend(nodes)
