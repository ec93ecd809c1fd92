"""A graph as files on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx

MAX_PROTOBUF_BYTES: Final = (2 << 30) - (64 << 20)
"""Bytes of weights that a single model.onnx may hold: protobuf's limit of 2 GiB, less room for the graph."""


def save_graph(model: onnx.ModelProto, path: Path, *, limit: int = MAX_PROTOBUF_BYTES) -> None:
    """Write a graph as one file; above ``limit`` bytes of weights, as ``path`` and one ``path``.data."""
    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if weights <= limit:
        onnx.save_model(model, str(path))
        return
    onnx.save_model(
        model,
        str(path),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=f"{path.name}.data",
    )
