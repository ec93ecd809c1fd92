"""Texts padded inside the graph, so that the lengths of other texts in a batch change no sum."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import onnx
from onnx import TensorProto, helper

LENGTH_STEP: Final = 16
"""Tokens that padded lengths are multiples of: the lanes of a 512-bit register.

Attention adds up over all positions of a batch. Zeros in further registers change nothing, but another end
within a register moves numbers to other lanes, and the sum's last bit with them; an int8 activation near the
middle between two steps then takes the other step. In OpenVINO, int8 all-MiniLM-L6-v2: without this, 6 of 100
texts differ by up to 4e-3 between batches of 1 and of 50; with it none does, by one bit.
"""

_PREFIX: Final = "nestvec/length/"
_PADDED: Final = f"{_PREFIX}padded/"


def pad_lengths(
    model: onnx.ModelProto, inputs: Collection[str], max_tokens: int, token_outputs: Collection[str] = ()
) -> None:
    """Pad ``inputs``, each (n, t) int64, with zeros inside the graph to a multiple of LENGTH_STEP tokens.

    At most to ``max_tokens``: a table of positions may end there. ``token_outputs``, (n, t, …), lose the
    padding again. In place.
    """
    graph = model.graph
    first = next(iter(inputs))
    for node in graph.node:
        _rename(node, set(inputs))
    for node in graph.node:
        for place, name in enumerate(node.output):
            if name in token_outputs:
                node.output[place] = f"{_PREFIX}{name}"
    constants = {"step": LENGTH_STEP, "most": max_tokens, "less": LENGTH_STEP - 1}
    if token_outputs:
        constants |= {"axis": 1, "zero": 0}
    for name, value in constants.items():
        graph.initializer.append(helper.make_tensor(f"{_PREFIX}{name}", TensorProto.INT64, [1], [value]))
    graph.initializer.append(helper.make_tensor(f"{_PREFIX}none", TensorProto.INT64, [3], [0, 0, 0]))
    head = [
        _node("Shape", [first], "tokens", helper.make_attribute("start", 1), helper.make_attribute("end", 2)),
        _node("Add", [f"{_PREFIX}tokens", f"{_PREFIX}less"], "raised"),
        _node("Div", [f"{_PREFIX}raised", f"{_PREFIX}step"], "steps"),
        _node("Mul", [f"{_PREFIX}steps", f"{_PREFIX}step"], "whole"),
        _node("Min", [f"{_PREFIX}whole", f"{_PREFIX}most"], "capped"),
        _node("Max", [f"{_PREFIX}capped", f"{_PREFIX}tokens"], "length"),
        _node("Sub", [f"{_PREFIX}length", f"{_PREFIX}tokens"], "missing"),
        _node("Concat", [f"{_PREFIX}none", f"{_PREFIX}missing"], "pads", helper.make_attribute("axis", 0)),
        *(helper.make_node("Pad", [name, f"{_PREFIX}pads"], [f"{_PADDED}{name}"]) for name in inputs),
    ]
    tail = [
        helper.make_node(
            "Slice",
            [f"{_PREFIX}{name}", f"{_PREFIX}zero", f"{_PREFIX}tokens", f"{_PREFIX}axis"],
            [name],
        )
        for name in token_outputs
    ]
    nodes = [*head, *graph.node, *tail]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _node(operator: str, inputs: list[str], name: str, *attributes: onnx.AttributeProto) -> onnx.NodeProto:
    node = helper.make_node(operator, inputs, [f"{_PREFIX}{name}"])
    node.attribute.extend(attributes)
    return node


def _rename(node: onnx.NodeProto, names: set[str]) -> None:
    """Have a node, and the graphs inside it, read the padded inputs."""
    for place, name in enumerate(node.input):
        if name in names:
            node.input[place] = f"{_PADDED}{name}"
    for attribute in node.attribute:
        for inner in attribute.g.node:
            _rename(inner, names)
