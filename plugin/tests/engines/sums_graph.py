"""A small graph whose answers are easy to know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx


def write_graph(path: Path, operator: str = "Identity", domain: str = "") -> None:
    """A graph that answers with the number of tokens of each text and their sum, after an operator."""
    tensor, node = onnx.TensorProto, onnx.helper.make_node
    inputs = [
        onnx.helper.make_tensor_value_info(name, tensor.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    output = onnx.helper.make_tensor_value_info("sentence_embedding", tensor.FLOAT, ["batch", 2])
    nodes = [
        node("Mul", ["input_ids", "attention_mask"], ["ids"]),
        node("ReduceSum", ["attention_mask", "axes"], ["count"], keepdims=1),
        node("ReduceSum", ["ids", "axes"], ["sum"], keepdims=1),
        node("Concat", ["count", "sum"], ["both"], axis=1),
        node("Cast", ["both"], ["real"], to=tensor.FLOAT),
        node(operator, ["real"], ["sentence_embedding"], domain=domain),
    ]
    axes = onnx.numpy_helper.from_array(np.array([1]), "axes")
    graph = onnx.helper.make_graph(nodes, "sums", inputs, [output], [axes])
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    path.parent.mkdir(exist_ok=True)
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
