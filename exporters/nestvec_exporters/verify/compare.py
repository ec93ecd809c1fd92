"""Compare exported vectors with the checkpoint's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nestvec_exporters.graph.tower import TowerModel
from nestvec_exporters.nesting.sampling import check_finite
from nestvec_exporters.verify.scores import compare_scores
from nestvec_schemas.errors import VerificationFailed
from nestvec_schemas.manifest import Precision, Verification
from nestvec_schemas.preprocessing.collate import Array, Arrays, pad_rows
from nestvec_schemas.towers import EXIT_INPUT, OutputKind
from nestvec_schemas.vectors import Matrix, Vectors, cosines, normalise

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_BATCH = 16

_SMALLEST_LENGTH = 1e-12
"""Where all vectors are zero, their lengths are compared with this."""


@dataclass(frozen=True)
class Tolerance:
    """What passes verification."""

    min_cosine: float
    """The smallest cosine of any vector."""

    mean_cosine: float
    """The smallest mean of the cosines."""

    length_error: float
    """The largest relative difference in length."""


TOLERANCES: dict[Precision, Tolerance] = {
    "fp32": Tolerance(min_cosine=0.9999, mean_cosine=0.9999, length_error=0.001),
    "fp16": Tolerance(min_cosine=0.999, mean_cosine=0.999, length_error=0.01),
    "int8": Tolerance(min_cosine=0.95, mean_cosine=0.99, length_error=0.1),
    "int8-dynamic": Tolerance(min_cosine=0.95, mean_cosine=0.98, length_error=0.1),
    "int8-weights": Tolerance(min_cosine=0.98, mean_cosine=0.995, length_error=0.05),
    "int4-weights": Tolerance(min_cosine=0.9, mean_cosine=0.97, length_error=0.1),
}

EXIT_TOLERANCES: dict[Precision, float] = {
    "fp32": 0.9999,
    "fp16": 0.99,
    "int8": 0.95,
    "int8-dynamic": 0.95,
    "int8-weights": 0.98,
    "int4-weights": 0.9,
}
"""The mean cosines below which an exit fails: its map amplifies small differences."""


def reference_exit_vectors(
    tower: TowerModel, rows: Sequence[Arrays], layer: int, matrix: Matrix, *, normalised: bool
) -> Vectors:
    """The checkpoint's vectors after ``layer``, (n, dim) float32, mapped by ``matrix``, (dim, dim).

    Brought to length 1 where they are ``normalised``.
    """
    import torch  # noqa: PLC0415 - slow

    module = tower.module((layer,))
    vectors = []
    with torch.no_grad():
        for row in rows:
            arrays = pad_rows([row])
            vectors.append(module(*(torch.from_numpy(arrays[name]) for name in tower.example))[0].numpy())
    mapped = np.asarray(np.concatenate(vectors) @ matrix, np.float32)
    check_finite(mapped)
    return normalise(mapped) if normalised else mapped


def open_graph(graph: Path) -> InferenceSession:
    """A graph in onnxruntime, on the CPU."""
    import onnxruntime  # noqa: PLC0415 - slow

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Spinning threads take the cores of other work, and a short pass gains nothing from them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def run_graph(
    graph: Path | InferenceSession,
    rows: Sequence[Arrays],
    layer: int | None = None,
    *,
    unbatched: bool = False,
) -> list[Array]:
    """What a graph gives in onnxruntime for each row, float32; of one vector per token, without padding's.

    In mixed batches padded on the right with zeros, so that padding would show, unless each row runs
    ``unbatched``. ``layer`` is the exit of an encoder that has several.
    """
    session = open_graph(graph) if isinstance(graph, Path) else graph
    names = [output.name for output in session.get_inputs()]
    outputs: list[Array] = []
    size = 1 if unbatched else _BATCH
    for start in range(0, len(rows), size):
        arrays = pad_rows(rows[start : start + size])
        count = len(rows[start : start + size])
        if layer is not None:
            arrays[EXIT_INPUT] = np.full((count, 1), layer, np.int64)
        answers = session.run(None, {name: arrays[name] for name in names})[0]
        outputs.extend(output[output.any(axis=1)] if output.ndim == 2 else output for output in answers)
    return outputs


def compare_outputs(
    reference: Array | Sequence[Array], exported: Sequence[Array], kind: OutputKind, precision: Precision
) -> Verification:
    """Compare what a graph gives with what the checkpoint gives, input by input.

    Vectors per token are compared token by token; the scores of a reranker as ``compare_scores`` says. Raises
    VerificationFailed below the precision's floor.
    """
    if [len(vectors) for vectors in reference] != [len(vectors) for vectors in exported]:
        raise VerificationFailed(
            "the exported encoder gives a different number of vectors from the checkpoint",
            value=f"{sum(map(len, exported))} against {sum(map(len, reference))}",
            next_step="Choose another checkpoint: this architecture is not exported faithfully.",
        )
    join = _JOINED.get(kind, np.stack)
    expected = join(list(reference))
    check_finite(expected)
    compare = compare_scores if kind == "reranker" else compare_vectors
    verification = compare(expected, join(list(exported)), precision)
    return verification.model_copy(update={"sentences": len(exported)})


_JOINED: dict[OutputKind, Callable[[list[Array]], Array]] = {
    "multivector": np.concatenate,
    "reranker": np.concatenate,
}


def check_exit_vectors(source: Vectors, exported: Vectors, precision: Precision, layer: int) -> None:
    """Raise VerificationFailed where an exit's vectors, (n, dim), are not what the checkpoint gives there."""
    mean = float(np.nan_to_num(cosines(source, exported), nan=-1.0).mean())
    if mean < EXIT_TOLERANCES[precision]:
        raise VerificationFailed(
            f"the exit after layer {layer} is too far from the checkpoint's own: {precision} must reach a "
            f"cosine of {EXIT_TOLERANCES[precision]} on average",
            value=f"{mean:.4f}",
            next_step="Omit this exit, or export with --precision fp32; nothing was written.",
        )


def _advice(precision: Precision) -> str:
    advice = "Export it with --precision fp32"
    if precision == "fp32":
        advice = "Choose another checkpoint: this architecture is not exported faithfully"
    elif precision == "int4-weights":
        advice = "Export it with --precision int8-weights, or fp32"
    return f"{advice}; nothing was written."


def compare_vectors(source: Vectors, exported: Vectors, precision: Precision) -> Verification:
    """The cosines of two (n, dim) arrays, row by row. Raises VerificationFailed below the floor."""
    if source.shape != exported.shape:
        raise VerificationFailed(
            "the exported vectors have a different shape from the checkpoint's",
            value=f"{exported.shape} against {source.shape}",
            next_step="Choose another checkpoint: this architecture is not exported faithfully.",
        )
    similarities = np.nan_to_num(cosines(source, exported), nan=-1.0)
    # A text without any known word is a vector of zeros.
    similarities[~source.any(axis=1) & ~exported.any(axis=1)] = 1.0
    lowest, mean = float(similarities.min()), float(similarities.mean())
    floor = TOLERANCES[precision]
    if lowest < floor.min_cosine or mean < floor.mean_cosine:
        raise VerificationFailed(
            f"the exported vectors are too far from the checkpoint's: {precision} must reach a cosine of "
            f"{floor.min_cosine} at least and {floor.mean_cosine} on average",
            value=f"{lowest:.4f} at least, {mean:.4f} on average",
            next_step=_advice(precision),
        )
    norms, expected = np.linalg.norm(exported, axis=1), np.linalg.norm(source, axis=1)
    length = float(np.abs(norms - expected).max() / max(float(expected.max()), _SMALLEST_LENGTH))
    if length > floor.length_error:
        raise VerificationFailed(
            f"the exported vectors are not as long as the checkpoint's: {precision} must be within "
            f"{floor.length_error:.1%}",
            value=f"{length:.1%} away",
            next_step=_advice(precision),
        )
    return Verification(sentences=len(similarities), cosine_min=lowest, cosine_mean=mean)
