"""A graph in ONNX Runtime while it is quantised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

from nestvec_exporters.graph.tensors import OUTPUT
from nestvec_schemas.preprocessing.collate import Array


def open_model(model: onnx.ModelProto | Path) -> Callable[[dict[str, Array]], Array]:
    """What gives OUTPUT of a batch, by a graph in memory or in a file."""
    import onnxruntime  # noqa: PLC0415 - slow

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Spinning threads take cores from other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in session.get_inputs()]

    def run(arrays: dict[str, Array]) -> Array:
        output: Array = session.run([OUTPUT], {name: arrays[name] for name in names})[0]
        return output

    return run
