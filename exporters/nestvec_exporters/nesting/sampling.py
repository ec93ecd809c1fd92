"""An encoder's vectors of a sample, at every exit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nestvec_exporters.graph.tensors import OUTPUT, exit_output
from nestvec_exporters.nesting.rotation import OnStep
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.collate import Array, Arrays, pad_rows
from nestvec_schemas.vectors import Vectors

_BATCH_TOKENS = 4096
"""Tokens of a batch, padding included."""

_MAX_BATCH_TEXTS = 64
_PREFERRED_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


def exit_vectors(
    graph: Path, rows: Sequence[Arrays], layers: Sequence[int], on_step: OnStep
) -> dict[int, Vectors]:
    """Each exit's vectors of ``rows``, (n, dim) float32 in their order, from one pass over the rows.

    ``layers`` are the exits, deepest first.
    """
    import onnxruntime  # noqa: PLC0415 - slow

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Spinning threads take cores from other processes, and a long pass gains nothing from them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = [name for name in _PREFERRED_PROVIDERS if name in onnxruntime.get_available_providers()]
    session = onnxruntime.InferenceSession(str(graph), options, providers=providers)
    names = [tensor.name for tensor in session.get_inputs()]
    outputs = [OUTPUT, *(exit_output(layer) for layer in layers[1:])]
    vectors_by_layer: dict[int, Vectors] = {}
    done = 0
    for batch in _batches([len(next(iter(row.values()))) for row in rows]):
        arrays = pad_rows([rows[index] for index in batch])
        answers = session.run(outputs, {name: arrays[name] for name in names})
        for layer, answer in zip(layers, answers, strict=True):
            empty = np.empty((len(rows), answer.shape[1]), np.float32)
            vectors_by_layer.setdefault(layer, empty)[batch] = answer
        done += len(batch)
        on_step(done, len(rows))
    for vectors in vectors_by_layer.values():
        check_finite(vectors)
    return vectors_by_layer


def check_finite(vectors: Array) -> None:
    """Raise CheckpointUnsupported if ``vectors``, (n, …) float32, contain NaN or infinity."""
    wrong = int((~np.isfinite(vectors.reshape(len(vectors), -1))).any(axis=1).sum())
    if wrong:
        raise CheckpointUnsupported(
            "the checkpoint returns vectors with numbers that are not finite",
            value=f"{wrong} of {len(vectors)} inputs",
            next_step="Its weights are damaged or overflow: download it again, or choose another.",
        )


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices of rows of similar length together, longest first, within the token budget."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches: list[list[int]] = []
    for index in order:
        if batches and len(batches[-1]) < min(
            _MAX_BATCH_TEXTS, max(1, _BATCH_TOKENS // lengths[batches[-1][0]])
        ):
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def pad_batch(
    rows: Sequence[Sequence[int] | NDArray[np.integer]], pad_id: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids and mask, (n, longest) int64, padded on the right."""
    ids = np.full((len(rows), max(map(len, rows))), pad_id, np.int64)
    mask = np.zeros_like(ids)
    for line, row in enumerate(rows):
        ids[line, : len(row)] = row
        mask[line, : len(row)] = 1
    return ids, mask
