"""An ONNX file: read with its external data, its operators checked, and opened in ONNX Runtime."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import onnx
import onnxruntime
from onnx import TensorProto

from nestvec_exporters.checkpoints.graphs.external_data import (
    check_external_data,
    graphs_of,
    parse_onnx,
    tensors_of,
)
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import Precision

DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"})
"""Domains whose operators ONNX Runtime has, in Triton as well."""

_BATCH_SCALED: Final = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "QAttention"})
"""Operators that give the activations of a whole batch one scale."""

_PACKED: Final = frozenset({"MatMulNBits", "MatMulBnb4", "GatherBlockQuantized", "QMoE"})
"""Operators on weights of less than 8 bits."""

_PRECISIONS: Final[dict[int, Precision]] = {
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "int8",
    TensorProto.FLOAT16: "fp16",
    TensorProto.FLOAT: "fp32",
}
"""Types of weights, narrowest first: the narrowest type of its matrices names a graph's precision."""


def read_onnx(path: Path) -> onnx.ModelProto:
    """A model without its external data. Raises CheckpointUnsupported unless ONNX Runtime has its operators
    and its external data are intact files of the checkpoint."""
    model = parse_onnx(path)
    _check_domains(model, path)
    check_external_data(model, path)
    return model


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """The graph in ONNX Runtime, on this machine's CPU. Raises CheckpointUnsupported."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own, without a common root
        raise _cannot_load(path, str(error)) from error


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def precision_of(model: onnx.ModelProto) -> Precision:
    """By the graph's matrices: vectors, such as biases, may be wider. Raises CheckpointUnsupported."""
    if is_batch_scaled(model):
        return "int8-dynamic"
    packed = sorted({node.op_type for graph in graphs_of(model) for node in graph.node} & _PACKED)
    tensors = [tensor for tensor in tensors_of(model) if len(tensor.dims) > 1]
    kinds = {tensor.data_type for tensor in tensors}
    precision = next((name for kind, name in _PRECISIONS.items() if kind in kinds), None)
    if precision is None or packed:
        types = ", ".join(sorted(TensorProto.DataType.Name(kind) for kind in kinds))
        raise CheckpointUnsupported(
            "the graph's weights have an unsupported type",
            value=", ".join(packed) or types or "no matrices",
            next_step="Choose the graph in fp32, fp16 or int8.",
        )
    return precision


def is_batch_scaled(model: onnx.ModelProto) -> bool:
    """Whether int8 activations have one scale per batch, so that results depend on what shares a batch."""
    return any(node.op_type in _BATCH_SCALED for graph in graphs_of(model) for node in graph.node)


def _check_domains(model: onnx.ModelProto, path: Path) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    unknown = {
        f"{node.domain}.{node.op_type}"
        for graph in graphs_of(model)
        for node in graph.node
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in own
    }
    if unknown:
        raise CheckpointUnsupported(
            f"{path.name} has operators that neither ONNX nor ONNX Runtime defines",
            value=", ".join(sorted(unknown)[:8]),
            next_step="Choose a graph of standard operators, or export the checkpoint's weights.",
        )


def _cannot_load(path: Path, message: str) -> CheckpointUnsupported:
    """ONNX Runtime's error, with the version that it would need."""
    latest = re.search(r"till opset (\d+)|max supported IR version: (\d+)", message)
    if latest is not None:
        what = "opset" if latest[1] else "IR version"
        model = onnx.load(str(path), load_external_data=False)
        return CheckpointUnsupported(
            f"{path.name} is newer than the installed ONNX Runtime {onnxruntime.__version__}, which knows "
            f"{what} {latest[1] or latest[2]} at most",
            value=f"{what} {opset_of(model) if latest[1] else model.ir_version}",
            next_step="Upgrade onnxruntime, or save the graph with an older opset.",
        )
    return CheckpointUnsupported(
        f"ONNX Runtime cannot load {path.name}",
        value=message.strip().partition("\n")[0],
        next_step="Download it again, with the weight files beside it.",
    )
