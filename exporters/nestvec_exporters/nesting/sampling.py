"""An encoder's vectors of a sample, at every exit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
_CPU_PROVIDERS = ("CPUExecutionProvider",)
_PREFERRED_PROVIDERS = ("CUDAExecutionProvider", *_CPU_PROVIDERS)


Outputs = list[Array]
"""A batch's arrays, of each output that is computed."""


@dataclass(frozen=True)
class GraphRun:
    """A graph, and its outputs to compute. It pickles."""

    graph: Path
    outputs: tuple[str, ...]

    def open(self, graph: Path, threads: int = 0, device: str = "auto") -> Callable[[Arrays], Outputs]:
        """What runs a batch, in the graph's file or a copy of it.

        ``threads`` 0 is all cores; ``device`` auto prefers a GPU to the CPU.
        """
        import onnxruntime  # noqa: PLC0415 - slow

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        # Spinning threads take cores from other processes, and a long pass gains nothing from them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        preferred = _PREFERRED_PROVIDERS if device == "auto" else _CPU_PROVIDERS
        providers = [name for name in preferred if name in onnxruntime.get_available_providers()]
        session = onnxruntime.InferenceSession(str(graph), options, providers=providers)
        names = [tensor.name for tensor in session.get_inputs()]
        return lambda arrays: session.run(self.outputs, {name: arrays[name] for name in names})


RunBatches = Callable[[GraphRun, Iterator[Arrays]], Iterator[Outputs]]
"""Runs a graph on batches, in this process or elsewhere: the outputs of each, in order."""


def run_batches_here(run: GraphRun, batches: Iterator[Arrays]) -> Iterator[Outputs]:
    """Batch after batch in this process."""
    return map(run.open(run.graph), batches)


def exit_vectors(
    graph: Path,
    rows: Sequence[Arrays],
    layers: Sequence[int],
    on_step: OnStep,
    run_batches: RunBatches = run_batches_here,
) -> dict[int, Vectors]:
    """Each exit's vectors of ``rows``, (n, dim) float32 in their order, from one pass over the rows.

    ``layers`` are the exits, deepest first.
    """
    outputs = (OUTPUT, *(exit_output(layer) for layer in layers[1:]))
    positions = _batches([len(next(iter(row.values()))) for row in rows])
    batches = (pad_rows([rows[index] for index in batch]) for batch in positions)
    vectors_by_layer: dict[int, Vectors] = {}
    done = 0
    for batch, answers in zip(positions, run_batches(GraphRun(graph, outputs), batches), strict=True):
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
