"""How near the exported vectors are to the checkpoint's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from nestvec_exporters.rotation import Matrix
from nestvec_exporters.source import Source, tokenizer
from nestvec_exporters.triton import EXIT, INPUTS
from nestvec_schemas.docstrings import sample_texts
from nestvec_schemas.errors import VerificationFailed
from nestvec_schemas.manifest import Precision, Verification
from nestvec_schemas.vectors import Vectors, cosines, normalise

SENTENCES: Final = 64

LONGEST: Final = 512
"""Tokens at which the compared texts are cut, where the encoder takes more: attention over 8,192 tokens
takes gigabytes."""

_BATCH = 16


@dataclass(frozen=True)
class Floor:
    """The cosines below which an export fails, and the share by which a vector's length may differ."""

    lowest: float
    mean: float
    length: float


FLOORS: dict[Precision, Floor] = {
    "fp32": Floor(lowest=0.9999, mean=0.9999, length=0.001),
    "fp16": Floor(lowest=0.999, mean=0.999, length=0.01),
    "int8": Floor(lowest=0.95, mean=0.98, length=0.1),
}

EXIT_FLOORS: dict[Precision, float] = {"fp32": 0.9999, "fp16": 0.99, "int8": 0.95}
"""The mean cosines below which an exit fails: its map makes more of small differences."""


@cache
def texts() -> tuple[str, ...]:
    """Real texts of all lengths; the last is longer than any encoder's limit."""
    sampled = sample_texts(SENTENCES - 1)
    return (*sampled, " ".join(sampled))


def source_vectors(source: Source, sentences: Sequence[str], tokens: int) -> Vectors:
    """The checkpoint's own vectors, (n, dim) float32, of texts cut at ``tokens``.

    One text at a time: padding can then have no part in them.
    """
    source.model.max_seq_length = tokens
    vectors = source.model.encode(list(sentences), batch_size=1, prompt="", show_progress_bar=False)
    return np.asarray(vectors, np.float32)


def exit_vectors(
    source: Source, sentences: Sequence[str], tokens: int, layer: int, matrix: Matrix
) -> Vectors:
    """The checkpoint's vectors after ``layer``, (n, dim) float32, mapped by ``matrix``, (dim, dim)."""
    import torch  # noqa: PLC0415 - slow

    from nestvec_exporters.graph import Encoder  # noqa: PLC0415

    encoder = Encoder(source, (layer,)).eval()
    cutting = tokenizer(source)
    cutting.enable_truncation(tokens)
    found = []
    with torch.no_grad():
        for text in sentences:
            ids = torch.tensor([cutting.encode(text).ids])
            found.append(encoder(ids, torch.ones_like(ids))[0].numpy())
    mapped = np.asarray(np.concatenate(found) @ matrix, np.float32)
    return normalise(mapped) if source.normalised else mapped


def exported_vectors(
    folder: Path, sentences: Sequence[str], tokens: int, layer: int | None = None
) -> Vectors:
    """The same from an encoder's folder: its tokenizer, and its graph in onnxruntime.

    In mixed batches padded on the right with id 0, so that padding would show. ``layer`` is the exit of an
    encoder that has several.
    """
    import onnxruntime  # noqa: PLC0415 - slow
    from tokenizers import Tokenizer  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(folder / "1" / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    padding = Tokenizer.from_file(str(folder / "tokenizer.json"))
    padding.enable_truncation(tokens)
    padding.enable_padding()
    found = []
    for start in range(0, len(sentences), _BATCH):
        encoded = padding.encode_batch(list(sentences[start : start + _BATCH]))
        ids = np.array([one.ids for one in encoded], np.int64)
        mask = np.array([one.attention_mask for one in encoded], np.int64)
        feeds = dict(zip(INPUTS, (ids, mask), strict=True))
        if layer is not None:
            feeds[EXIT] = np.full((len(ids), 1), layer, np.int64)
        found.append(session.run(None, feeds)[0])
    return np.concatenate(found)


def check_exit(source: Vectors, exported: Vectors, precision: Precision, layer: int) -> None:
    """Raise VerificationFailed where an exit's vectors, (n, dim), are not what the checkpoint gives there."""
    mean = float(np.nan_to_num(cosines(source, exported), nan=-1.0).mean())
    if mean < EXIT_FLOORS[precision]:
        raise VerificationFailed(
            f"the exit after layer {layer} is too far from the checkpoint's own: {precision} must reach a "
            f"cosine of {EXIT_FLOORS[precision]} on average",
            value=f"{mean:.4f}",
            next_step="Leave this exit out, or export with --precision fp32; nothing was written.",
        )


def compare(source: Vectors, exported: Vectors, precision: Precision) -> Verification:
    """The cosines of two (n, dim) arrays, row by row. Raises VerificationFailed below the floor."""
    if source.shape != exported.shape:
        raise VerificationFailed(
            "the exported vectors have another shape than the checkpoint's",
            value=f"{exported.shape} against {source.shape}",
            next_step="Choose another checkpoint: this architecture is not exported faithfully.",
        )
    found = np.nan_to_num(cosines(source, exported), nan=-1.0)
    lowest, mean = float(found.min()), float(found.mean())
    floor = FLOORS[precision]
    if lowest < floor.lowest or mean < floor.mean:
        advice = "Export it with --precision fp32" if precision != "fp32" else "Choose another checkpoint"
        raise VerificationFailed(
            f"the exported vectors are too far from the checkpoint's: {precision} must reach a cosine of "
            f"{floor.lowest} at least and {floor.mean} on average",
            value=f"{lowest:.4f} at least, {mean:.4f} on average",
            next_step=f"{advice}; nothing was written.",
        )
    norms, expected = np.linalg.norm(exported, axis=1), np.linalg.norm(source, axis=1)
    length = float(np.abs(norms - expected).max() / expected.max())
    if length > floor.length:
        raise VerificationFailed(
            f"the exported vectors are not as long as the checkpoint's: {precision} must be within "
            f"{floor.length:.1%}",
            value=f"{length:.1%} away",
            next_step="Choose another checkpoint: this architecture is not exported faithfully.",
        )
    return Verification(sentences=len(found), cosine_min=lowest, cosine_mean=mean)
