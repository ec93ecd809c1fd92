"""Prepared graphs in few bytes: each matrix once, in fp16; only its shape where weights are random anyway."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnxruntime.transformers.float16 import convert_np_to_float16
from safetensors.numpy import load_file, save_file

LEAST_BYTES = 4096
"""Smaller tensors stay in the graph."""

WEIGHTS, SHAPES, GRAPH, CHECKPOINT = "weights.npz", "shapes.json", "model.onnx", "checkpoint"

_FLOATS = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}
_SPREAD = 0.02
_BLOCK = 100_003
"""Numbers in a block: no row of a matrix is as long, or a divisor of it."""

Half = NDArray[np.float16]


def compact(folder: Path, target: Path, names: tuple[str, ...], *, random: bool) -> None:
    """Write the graphs ``names`` of an encoder's folder to ``target``, with its checkpoint and texts.

    With ``random`` their weights are left out, and the vectors of the texts, which they made.
    """
    weights: dict[str, Half] = {}
    for name in names:
        model = onnx.load(str(folder / name / GRAPH))
        for tensor in model.graph.initializer:
            if tensor.data_type in _FLOATS and len(tensor.raw_data) >= LEAST_BYTES:
                half = _half(numpy_helper.to_array(tensor))
                key = hashlib.sha256(str(half.shape).encode() + half.tobytes()).hexdigest()[:16]
                if not random:
                    weights[key] = half
                tensor.doc_string = key
                tensor.ClearField("raw_data")
        (target / name).mkdir(parents=True)
        (target / name / GRAPH).write_bytes(model.SerializeToString())
    _compact_checkpoint(folder / CHECKPOINT, target / CHECKPOINT, random=random)
    texts = dict(np.load(folder / "texts.npz"))
    if random:
        texts.pop("vectors")
    else:
        np.savez(target / WEIGHTS, **weights)  # type: ignore[arg-type]
    np.savez(target / "texts.npz", **texts)


def expand(folder: Path, target: Path) -> None:
    """Write what ``compact`` was given, in the precisions of its graphs, to ``target``."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(WEIGHTS))
    weights = dict(np.load(folder / WEIGHTS)) if (folder / WEIGHTS).exists() else {}
    for path in target.glob(f"*/{GRAPH}"):
        model = onnx.ModelProto.FromString(path.read_bytes())
        for tensor in model.graph.initializer:
            if tensor.doc_string:
                half = weights.get(tensor.doc_string)
                if half is None:
                    half = _drawn(tensor.doc_string, tuple(tensor.dims))
                tensor.raw_data = half.astype(_FLOATS[tensor.data_type]).tobytes()
                tensor.ClearField("doc_string")
        path.write_bytes(model.SerializeToString())
    shapes = target / CHECKPOINT / SHAPES
    if shapes.exists():
        sizes: dict[str, list[int]] = json.loads(shapes.read_text())
        tensors = {name: _drawn(name, tuple(size)) for name, size in sizes.items()}
        save_file(tensors, target / CHECKPOINT / "model.safetensors", {"format": "pt"})


def _compact_checkpoint(folder: Path, target: Path, *, random: bool) -> None:
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.safetensors"))
    tensors = load_file(folder / "model.safetensors")
    if random:
        sizes = {name: list(array.shape) for name, array in tensors.items()}
        (target / SHAPES).write_text(json.dumps(sizes))
        return
    halves = {name: _half(array) if array.dtype == np.float32 else array for name, array in tensors.items()}
    save_file(halves, target / "model.safetensors", {"format": "pt"})


def _half(array: NDArray[np.floating]) -> Half:
    """As the exporters' conversion rounds, so that both precisions of a matrix have one name."""
    half: Half = np.ascontiguousarray(
        array if array.dtype == np.float16 else convert_np_to_float16(array.copy())
    )
    return half


def _drawn(key: str, shape: tuple[int, ...]) -> Half:
    """Random weights, the same for the same key; large ones repeat a block, which is faster to draw."""
    draw = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]))
    block = (draw.standard_normal(_BLOCK, dtype=np.float32) * _SPREAD).astype(np.float16)
    drawn: Half = np.resize(block, shape)
    return drawn
