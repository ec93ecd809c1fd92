"""Changes to exported graphs that make their answers wrong, for tests of verification."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def append_operator(graph_path: Path, operator: str, *constants: float) -> None:
    """Put an operator behind a graph's output, with constants as its other inputs."""
    model = onnx.load(str(graph_path))
    graph = model.graph
    name = graph.output[0].name
    inner = f"{name}_inner"
    for node in graph.node:
        node.output[:] = [inner if output == name else output for output in node.output]
        node.input[:] = [inner if output == name else output for output in node.input]
    names = [f"{name}_constant_{number}" for number in range(len(constants))]
    for constant, value in zip(names, constants, strict=True):
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), constant))
    graph.node.append(helper.make_node(operator, [inner, *names], [name]))
    onnx.save(model, str(graph_path))


def ignore_input(graph_path: Path, name: str) -> None:
    """Have a graph read zeros instead of one of its int64 inputs."""
    model = onnx.load(str(graph_path))
    graph = model.graph
    zeros = f"{name}_zeros"
    for node in graph.node:
        node.input[:] = [zeros if output == name else output for output in node.input]
    graph.initializer.append(helper.make_tensor(f"{name}_factor", TensorProto.INT64, [], [0]))
    graph.node.insert(0, helper.make_node("Mul", [name, f"{name}_factor"], [zeros]))
    onnx.save(model, str(graph_path))


def scale_initializer(graph_path: Path, suffix: str, factor: float) -> None:
    """Multiply the float constants of a graph whose name ends with ``suffix``. Raises LookupError."""
    model = onnx.load(str(graph_path))
    changed = 0
    for tensor in model.graph.initializer:
        if tensor.name.endswith(suffix) and tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor) * np.float32(factor)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
            changed += 1
    if not changed:
        raise LookupError(f"{graph_path} has no constant {suffix}")
    onnx.save(model, str(graph_path))
