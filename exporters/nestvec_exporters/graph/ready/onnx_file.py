"""An ONNX file: read with its external data, its operators checked, and opened in ONNX Runtime."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from math import prod
from pathlib import Path, PurePosixPath
from typing import Final

import onnx
import onnxruntime
from onnx import TensorProto

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

_KEEPS_HUB_FILES: Final = "blobs"
"""Hugging Face's cache has the files of a checkpoint here, and links to them in ``snapshots``."""


def read_onnx(path: Path) -> onnx.ModelProto:
    """A model without its external data. Raises CheckpointUnsupported unless ONNX Runtime has its operators
    and its external data are intact files of the checkpoint."""
    model = _parsed(path)
    _check_domains(model, path)
    _check_external_data(model, path)
    return model


def external_locations(path: Path) -> tuple[str, ...]:
    """The files of external data that a model names, by their places beside it. Raises
    CheckpointUnsupported for places outside its folder."""
    model = _parsed(path)
    locations = tuple(dict.fromkeys(_place(tensor)[0] for tensor in _external_tensors(model)))
    for location in locations:
        _check_location(path, location)
    return locations


def load_external_data(model: onnx.ModelProto, path: Path) -> None:
    """Read what ``read_onnx`` left in other files, links included, into the model."""
    for tensor in _external_tensors(model):
        location, offset, length = _place(tensor)
        with (path.parent / location).open("rb") as file:
            file.seek(offset)
            tensor.raw_data = file.read(length)
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """The graph in ONNX Runtime, on this machine's CPU. Raises CheckpointUnsupported."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own, without a common root
        raise _cannot_load(path, str(error)) from error


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def precision_of(model: onnx.ModelProto) -> Precision:
    """By the graph's matrices: vectors, such as biases, may be wider. Raises CheckpointUnsupported."""
    packed = sorted({node.op_type for graph in graphs_of(model) for node in graph.node} & _PACKED)
    tensors = [tensor for tensor in _tensors(model) if len(tensor.dims) > 1]
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


def graphs_of(model: onnx.ModelProto) -> Iterator[onnx.GraphProto | onnx.FunctionProto]:
    """The graph, the bodies of its loops and branches, and its functions."""
    stack: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while stack:
        graph = stack.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                stack += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _parsed(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's and onnx's own
        raise CheckpointUnsupported(
            f"{path.name} is not an ONNX graph", value=str(error), next_step="Download it again."
        ) from error


def _tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    for graph in graphs_of(model):
        if isinstance(graph, onnx.GraphProto):
            yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors


def _external_tensors(model: onnx.ModelProto) -> list[TensorProto]:
    return [tensor for tensor in _tensors(model) if tensor.data_location == TensorProto.EXTERNAL]


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


def _place(tensor: TensorProto) -> tuple[str, int, int]:
    """File, offset and length in bytes of a tensor's external data."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    width = 2 * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    if TensorProto.DataType.Name(tensor.data_type) in ("INT4", "UINT4", "FLOAT4E2M1"):
        width = 1
    expected = -(-prod(tensor.dims) * width // 2)
    return (
        entries.get("location", ""),
        int(entries.get("offset") or 0),
        int(entries.get("length") or expected),
    )


def _check_external_data(model: onnx.ModelProto, path: Path) -> None:
    """Raise CheckpointUnsupported unless external data are within files beside the graph, each byte once."""
    regions: dict[str, set[tuple[int, int]]] = {}
    for tensor in _external_tensors(model):
        location, offset, length = _place(tensor)
        regions.setdefault(location, set()).add((offset, length))
        if offset < 0 or length < 0:
            raise _damaged(path, f"{tensor.name}: {length} bytes at {offset}")
    for location, places in regions.items():
        file = _data_file(path, location)
        size = file.stat().st_size
        end = max(offset + length for offset, length in places)
        if end > size or sum(length for _, length in places) > size:
            raise _damaged(path, f"{location}: {end:,} bytes declared, {size:,} there")


def _data_file(path: Path, location: str) -> Path:
    """The file of external data, which must be the checkpoint's own."""
    _check_location(path, location)
    file = path.parent / location
    if not _is_own(file, path.parent):
        raise _outside(path, location)
    if not file.is_file():
        raise CheckpointUnsupported(
            f"{path.name} has its weights in a file that is missing",
            value=location,
            next_step="Put that file beside the graph.",
        )
    return file


def _check_location(path: Path, location: str) -> None:
    pure = PurePosixPath(location.replace("\\", "/"))
    if not location or pure.is_absolute() or ".." in pure.parts:
        raise _outside(path, location)


def _outside(path: Path, location: str) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        f"{path.name} has weights in a file outside the checkpoint",
        value=location or "no name",
        next_step="Choose a graph whose weight files are beside it.",
    )


def _is_own(file: Path, folder: Path) -> bool:
    """Whether a file is in the folder, or where Hugging Face's cache has this checkpoint's files."""
    real = Path(os.path.realpath(file))
    roots = [Path(os.path.realpath(folder))]
    snapshots = next((parent for parent in folder.absolute().parents if parent.name == "snapshots"), None)
    if snapshots is not None and snapshots.parent.name.startswith("models--"):
        roots.append(Path(os.path.realpath(snapshots.parent / _KEEPS_HUB_FILES)))
    return any(real.is_relative_to(root) for root in roots)


def _damaged(path: Path, value: str) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        f"the external data of {path.name} do not match what it declares",
        value=value,
        next_step="Download the graph and its weight files again.",
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
