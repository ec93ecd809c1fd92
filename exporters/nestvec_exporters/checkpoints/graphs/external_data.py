"""ONNX models whose weights are in files beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import prod
from pathlib import Path, PurePosixPath
from typing import Final

import onnx
from onnx import TensorProto

from nestvec_schemas.errors import CheckpointUnsupported

_KEEPS_HUB_FILES: Final = "blobs"
"""Hugging Face's cache has the files of a checkpoint here, and links to them in ``snapshots``."""


def external_locations(path: Path) -> tuple[str, ...]:
    """The files of external data that a model names, by their places beside it. Raises
    CheckpointUnsupported for places outside its folder."""
    model = parse_onnx(path)
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


def graphs_of(model: onnx.ModelProto) -> Iterator[onnx.GraphProto | onnx.FunctionProto]:
    """The graph, the bodies of its loops and branches, and its functions."""
    stack: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while stack:
        graph = stack.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                stack += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def parse_onnx(path: Path) -> onnx.ModelProto:
    """A model without its external data, unchecked. Raises CheckpointUnsupported if the file is none."""
    try:
        return onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's and onnx's own
        raise CheckpointUnsupported(
            f"{path.name} is not an ONNX graph", value=str(error), next_step="Download it again."
        ) from error


def tensors_of(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every constant of a model, those in attributes and inner graphs included."""
    for graph in graphs_of(model):
        if isinstance(graph, onnx.GraphProto):
            yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors


def _external_tensors(model: onnx.ModelProto) -> list[TensorProto]:
    return [tensor for tensor in tensors_of(model) if tensor.data_location == TensorProto.EXTERNAL]


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


def check_external_data(model: onnx.ModelProto, path: Path) -> None:
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
