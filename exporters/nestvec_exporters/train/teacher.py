"""A cross-encoder's scores of pairs and triplets, for distillation (DSE, Barkan et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nestvec_exporters.checkpoints.checkpoint import check_code, check_weights
from nestvec_exporters.checkpoints.hub import fetch
from nestvec_exporters.checkpoints.layout import read_config
from nestvec_exporters.checkpoints.untrusted import check_no_code
from nestvec_exporters.checkpoints.untrusted.custom_code import check_custom_code
from nestvec_schemas.errors import CheckpointUnsupported

_BATCH_PAIRS = 32
_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")


def teacher_scores(
    checkpoint: str,
    rows: Sequence[tuple[str, ...]],
    max_tokens: int,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[float, ...]:
    """The score of each pair; of each triplet, the margin of its first document over its second.

    ``checkpoint`` is a folder or a Hugging Face id of a cross-encoder with one output. Pairs are truncated
    at twice ``max_tokens``. Raises CheckpointNotFound and CheckpointUnsupported.
    """
    from sentence_transformers import CrossEncoder  # noqa: PLC0415 - slow

    folder = Path(checkpoint) if Path(checkpoint).is_dir() else fetch(checkpoint, _FILES)
    read_config(folder)
    check_no_code(folder)
    check_custom_code(folder, "cross", None)
    check_code(folder)
    check_weights(folder)
    try:
        model = CrossEncoder(str(folder), num_labels=None, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise CheckpointUnsupported(
            "the teacher cannot be loaded as a cross-encoder",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Choose a reranker: a checkpoint for sequence classification.",
        ) from error
    if model.num_labels != 1:
        raise CheckpointUnsupported(
            "a teacher has one output, and this checkpoint has several",
            value=f"{model.num_labels} labels",
            next_step="Choose a reranker with one output.",
        )
    limit = min(2 * max_tokens, model.max_length or 2 * max_tokens)
    model.max_length = limit
    pairs = [(row[0], text) for row in rows for text in row[1:]]
    scores = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _BATCH_PAIRS):
        batch = pairs[start : start + _BATCH_PAIRS]
        scores[start : start + len(batch)] = model.predict(
            batch, batch_size=_BATCH_PAIRS, show_progress_bar=False
        )
        on_step(start + len(batch), len(pairs))
    by_row: NDArray[np.float32] = scores.reshape(len(rows), -1)
    return tuple((by_row[:, 0] - by_row[:, 1] if by_row.shape[1] > 1 else by_row[:, 0]).tolist())
