"""Matrices folded into a graph, behind what it gives already."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from nestvec_schemas.vectors import Matrix


def fold(
    model: onnx.ModelProto, matrices: Mapping[str, Matrix], *, normalised: frozenset[str] = frozenset()
) -> None:
    """Multiply outputs of ``model``, (batch, d) float32, by ``matrices``, (d, d), in place.

    ``matrices`` maps an output's name to what its rows are multiplied by from the right; the outputs in
    ``normalised`` are brought to length 1 after it. The arithmetic is float32 whatever the graph's own.
    """
    for output, matrix in matrices.items():
        before, name = f"{output}/plain", f"{output}/matrix"
        for node in model.graph.node:
            for names in (node.input, node.output):
                for at, name_ in enumerate(names):
                    names[at] = before if name_ == output else name_
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(matrix, np.float32), name))
        turned = f"{output}/turned" if output in normalised else output
        nodes = [helper.make_node("MatMul", [before, name], [turned], f"{output}/MatMul")]
        if output in normalised:
            nodes.append(helper.make_node("LpNormalization", [turned], [output], axis=1, p=2))
        model.graph.node.extend(nodes)
