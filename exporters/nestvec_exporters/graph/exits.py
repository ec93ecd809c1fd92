"""One graph with several exits: the layers beyond an exit lie in an ``If`` that a batch may skip."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper

from nestvec_exporters.graph.triton import EXIT, OUTPUT, exit_output

_BEFORE = "nestvec/"
"""How the names begin of what is added: no traced name does."""


def nest_exits(model: onnx.ModelProto, layers: Sequence[int]) -> onnx.ModelProto:
    """A graph that stops where its batch wants to, made of one with an output for every exit.

    ``layers`` are the exits, deepest first; ``model`` has the output ``exit_output`` of each but the
    deepest, whose output is OUTPUT. The result has the input EXIT, (batch, 1) int64: the layer after which
    each row stops, 0 for the deepest. It runs as deep as the deepest row and gives each row the vector of
    its own exit, so that requests for different exits may share a batch. Weights stay where they are, once.
    """
    ladder = sorted(layers)
    outputs = [*(exit_output(layer) for layer in ladder[:-1]), OUTPUT]
    stages = _stages(model.graph, outputs)
    constants = [helper.make_tensor(_layer(layer), TensorProto.INT64, [], [layer]) for layer in ladder[:-1]]
    constants += [
        helper.make_tensor(f"{_BEFORE}depth", TensorProto.INT64, [], [ladder[-1]]),
        helper.make_tensor(f"{_BEFORE}none", TensorProto.INT64, [], [0]),
    ]
    nodes = [
        helper.make_node("Equal", [EXIT, f"{_BEFORE}none"], [f"{_BEFORE}whole"]),
        helper.make_node("Where", [f"{_BEFORE}whole", f"{_BEFORE}depth", EXIT], [f"{_BEFORE}asked"]),
        helper.make_node("ReduceMax", [f"{_BEFORE}asked"], [f"{_BEFORE}deepest"], keepdims=0),
        *_from(0, ladder, outputs, stages),
        helper.make_node("Identity", [_rows(0)], [OUTPUT]),
    ]
    given = {value.name: value for value in model.graph.output}
    graph = helper.make_graph(
        nodes,
        model.graph.name,
        [*model.graph.input, helper.make_tensor_value_info(EXIT, TensorProto.INT64, ["batch", 1])],
        [given[OUTPUT]],
        [*model.graph.initializer, *constants],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _stages(graph: onnx.GraphProto, outputs: Sequence[str]) -> list[list[onnx.NodeProto]]:
    """The nodes of each stage, in the graph's order: what an output needs beyond those before it."""
    makers = {name: at for at, node in enumerate(graph.node) for name in node.output}
    stage: dict[int, int] = {}
    for number, output in enumerate(outputs):
        wanted = [output]
        while wanted:
            at = makers.get(wanted.pop())
            if at is not None and at not in stage:
                stage[at] = number
                wanted.extend(graph.node[at].input)
    return [
        [_renamed(graph.node[at]) for at in sorted(stage) if stage[at] == number]
        for number in range(len(outputs))
    ]


def _from(
    number: int, ladder: Sequence[int], outputs: Sequence[str], stages: Sequence[list[onnx.NodeProto]]
) -> list[onnx.NodeProto]:
    """The nodes from a stage on; they make ``_rows(number)``, each row's vector at its own exit."""
    here = _inner(outputs[number])
    if number == len(ladder) - 1:
        return [*stages[number], helper.make_node("Identity", [here], [_rows(number)])]
    deeper, stay = f"{_BEFORE}deeper_{number}", f"{_BEFORE}stay_{number}"
    more, rows = f"{_BEFORE}more_{number}", f"{_BEFORE}rows_more_{number}"
    then_branch = helper.make_graph(
        _from(number + 1, ladder, outputs, stages),
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
        helper.make_node("Greater", [f"{_BEFORE}deepest", layer], [more]),
        helper.make_node("If", [more], [deeper], then_branch=then_branch, else_branch=else_branch),
        helper.make_node("Greater", [f"{_BEFORE}asked", layer], [rows]),
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
    return f"{_BEFORE}whole_vectors" if name == OUTPUT else name


def _layer(layer: int) -> str:
    return f"{_BEFORE}layer_{layer}"


def _rows(number: int) -> str:
    return f"{_BEFORE}rows_{number}"
