"""The vectors of many texts at every exit, from a graph that has an output for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from nestvec_exporters.rotation import OnStep
from nestvec_exporters.triton import INPUTS, OUTPUT, exit_output
from nestvec_schemas.vectors import Vectors

_TOKENS = 4096
"""Of a batch, with padding."""

_TEXTS = 64
_PREFERRED = ("CUDAExecutionProvider", "CPUExecutionProvider")


def exit_vectors(
    graph: Path, tokenizer: Tokenizer, texts: Sequence[str], layers: Sequence[int], on_step: OnStep
) -> dict[int, Vectors]:
    """Each exit's vectors of ``texts``, (n, dim) float32 in their order, from one pass a text.

    ``layers`` are the exits, deepest first; ``tokenizer`` cuts at what the encoder takes.
    """
    import onnxruntime  # noqa: PLC0415 - slow

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    providers = [one for one in _PREFERRED if one in onnxruntime.get_available_providers()]
    session = onnxruntime.InferenceSession(str(graph), options, providers=providers)
    outputs = [OUTPUT, *(exit_output(layer) for layer in layers[1:])]
    rows = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
    found: dict[int, Vectors] = {}
    done = 0
    for batch in _batches(rows):
        ids, mask = _padded([rows[at] for at in batch])
        answers = session.run(outputs, dict(zip(INPUTS, (ids, mask), strict=True)))
        for layer, answer in zip(layers, answers, strict=True):
            found.setdefault(layer, np.empty((len(rows), answer.shape[1]), np.float32))[batch] = answer
        done += len(batch)
        on_step(done, len(rows))
    return found


def _batches(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Places of rows of like length together, the longest first, within the budget of tokens."""
    order = sorted(range(len(rows)), key=lambda at: -len(rows[at]))
    batches: list[list[int]] = []
    for at in order:
        if batches and len(batches[-1]) < min(_TEXTS, max(1, _TOKENS // len(rows[batches[-1][0]]))):
            batches[-1].append(at)
        else:
            batches.append([at])
    return batches


def _padded(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for line, row in enumerate(rows):
        ids[line, : len(row)] = row
        mask[line, : len(row)] = 1
    return ids, mask
