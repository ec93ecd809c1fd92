"""Nodes that are appended to a graph, in the opset that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.collate import Array

_AXES_AS_INPUT: Final = {"ReduceMax": 18, "ReduceMin": 18, "ReduceMean": 18, "ReduceSum": 13}
"""The opset from which a reduction takes its axes as an input."""


class NodeBuilder:
    """Nodes in order, and the constants that they take."""

    def __init__(self, opset: int, prefix: str) -> None:
        self.opset, self.prefix = opset, prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []

    def name(self, word: str) -> str:
        """A tensor's name that the graph does not have."""
        return f"{self.prefix}/{len(self.nodes)}-{len(self.constants)}/{word}"

    def constant(self, value: Any, dtype: type[np.generic] = np.float32) -> str:
        """The name of a constant."""
        name = self.name("constant")
        self.constants.append(numpy_helper.from_array(np.array(value, dtype, order="C"), name))
        return name

    def add(self, operator: str, inputs: Sequence[str], attributes: Mapping[str, Any] | None = None) -> str:
        """Append a node; the name of what it gives. Raises CheckpointUnsupported if the opset lacks it."""
        try:
            onnx.defs.get_schema(operator, max_inclusive_version=self.opset)
        except onnx.defs.SchemaError as error:
            raise CheckpointUnsupported(
                f"the graph is too old for what its checkpoint declares, which needs {operator}",
                value=f"opset {self.opset}",
                next_step="Save the graph with opset 17 or later.",
            ) from error
        output = self.name(operator)
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **dict(attributes or {})))
        return output

    def binary(self, operator: str, left: str, right: float | Array) -> str:
        """Append a node of a tensor and a number, or an array that broadcasts."""
        return self.add(operator, [left, self.constant(right)])

    def cast(self, tensor: str, kind: int = TensorProto.FLOAT) -> str:
        """Append a conversion to another type."""
        return self.add("Cast", [tensor], {"to": kind})

    def reshape(self, tensor: str, shape: Sequence[int]) -> str:
        """Append a Reshape: 0 keeps an axis, and -1 takes the rest."""
        return self.add("Reshape", [tensor, self.constant(shape, np.int64)])

    def reduce(self, operator: str, tensor: str, axis: int) -> str:
        """Append a reduction of one axis, which is dropped."""
        if self.opset >= _AXES_AS_INPUT[operator]:
            return self.add(operator, [tensor, self.constant([axis], np.int64)], {"keepdims": 0})
        return self.add(operator, [tensor], {"axes": [axis], "keepdims": 0})
