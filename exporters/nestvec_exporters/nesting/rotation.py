"""Orthogonal rotations that move what distinguishes vectors into their first dims.

A rotation preserves the lengths of whole vectors and the angles between them; only prefixes change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nestvec_exporters.nesting.orthogonal import nearest_orthogonal, pca_rotation
from nestvec_schemas.vectors import Matrix, Vectors

OnStep = Callable[[int, int], None]
"""Receives the number of steps done and the total."""

DEFAULT_STEPS: Final = 200
QUERIES_PER_STEP: Final = 128
"""Vectors that serve as queries in a step."""

DOCUMENTS_PER_STEP: Final = 512
"""Documents that a step's queries are compared with."""

_MAX_HELD_OUT = 256
"""The most vectors that are held out, to choose the start and to evaluate."""

_TEMPERATURE = 1 / 20

_SOURCE_WEIGHT = 0.3
"""The weight of ranking the document first that a query was taken from, beside the divergence's 1. Mean of
five collections, nDCG@10 kept at 64 and 32: 0.894 and 0.753 without, 0.911 and 0.774 here, alike at 1."""

_LEARNING_RATES = (3e-3, 6e-4, 1.2e-4)
"""Tried in turn: on few vectors, a high rate overfits at once."""

_EVALUATION_STEPS = 25
"""Steps between two evaluations on the held-out vectors."""

_PATIENCE_STEPS = 100
"""Steps within which a rate must improve on them."""

_MIN_ROTATED_DIMS, _MAX_ROTATED_DIMS = 256, 512
"""Leading directions that are learned, two thirds of all within these bounds: rotating more of them hardly
improves prefixes, and the cost of a step grows with their cube."""

_NO_SOURCE, _IS_DOCUMENT = -1, -2

_MAX_PREFIX = 256
_MIN_DIVERGENCE = 1e-9
_PREFIXES = (16, 32, 64, 128, 256)


def learn_rotation(
    vectors: Vectors,
    *,
    documents: int | None = None,
    sources: Sequence[int] | NDArray[np.intp] = (),
    dims: Sequence[int] = (),
    steps: int = DEFAULT_STEPS,
    seed: int = 0,
    on_step: OnStep = lambda done, total: None,
) -> Matrix:
    """The rotation, (d, d) float64, whose prefixes best keep the neighbours of ``vectors``, (n, d) float32.

    It starts from the documents' ``pca_rotation``, or from no rotation if that is better already (as after
    training for short vectors), and rotates the leading axes so that at each prefix the softmax over the
    similarities of random queries to random documents approaches the one at full length (Kullback-Leibler,
    temperature 1/20; summed over prefixes as in Kusupati et al. 2022). All vectors serve as queries, the
    first ``documents`` of them as documents too: queries are never compared with one another. ``sources``
    has, for each vector after the documents, the row of the document that it was taken from, or -1: prefixes
    also learn to rank that document first (cross-entropy). ``dims`` are prefixes to learn besides the usual
    ladder. A tenth of the vectors is held out, and the rotation that is best on it wins; if none improves,
    lower learning rates are tried, since few vectors overfit. The result is orthogonal to float64's
    precision, and the same for the same seed.
    """
    import torch  # noqa: PLC0415 - seconds of imports

    axes = pca_rotation(vectors[:documents])
    width = _rotated_dims(vectors.shape[1])
    prefixes = learned_prefixes(vectors.shape[1], dims)
    if not prefixes:
        return axes
    threads = torch.get_num_threads()
    # Makes sums independent of the number of cores; matrices this small gain little from threads.
    torch.set_num_threads(1)
    try:
        generator = torch.Generator().manual_seed(seed)
        held_out, training = _split(_source_rows(vectors, documents, sources), generator)
        start = _better_start(axes, vectors, held_out, prefixes)
        leading = np.asarray(vectors @ start, np.float32)[:, :width]
        turn = _learn_turn(
            _objective(leading, vectors, prefixes, held_out),
            training,
            steps=steps,
            generator=generator,
            on_step=on_step,
        )
    finally:
        torch.set_num_threads(threads)
    rotation = start.copy()
    rotation[:, :width] = start[:, :width] @ turn
    return nearest_orthogonal(rotation)


def learned_prefixes(dim: int, dims: Sequence[int]) -> list[int]:
    """The prefixes that are learned of vectors of ``dim`` dims: usual ones and ``dims``, shortest first."""
    return [
        prefix for prefix in sorted({*_PREFIXES, *dims}) if prefix <= min(_MAX_PREFIX, _rotated_dims(dim) - 1)
    ]


def _rotated_dims(dim: int) -> int:
    return min(dim, max(_MIN_ROTATED_DIMS, min(_MAX_ROTATED_DIMS, 2 * dim // 3)))


@dataclass(frozen=True)
class QueryDocumentIndices:
    """Which vectors are compared: rows among some vectors."""

    queries: Any
    """A tensor, (q,) int64."""

    documents: Any
    """A tensor, (c,) int64, in rising order."""

    sources: Any
    """A tensor, (q,) int64: the document that each query was taken from, one of ``documents``; or -1."""

    def sample(self, max_queries: int, max_documents: int, generator: Any) -> QueryDocumentIndices:
        """A random sample without repetition, of at most these numbers, and the sampled queries' sources."""
        import torch  # noqa: PLC0415

        sampled = torch.randperm(len(self.queries), generator=generator)[:max_queries]
        documents = self.documents[torch.randperm(len(self.documents), generator=generator)[:max_documents]]
        sources = self.sources[sampled]
        with_sources: Any = torch.cat([documents, sources[sources >= 0]])
        return QueryDocumentIndices(self.queries[sampled], with_sources.unique(), sources)


def _source_rows(
    vectors: Vectors, documents: int | None, sources: Sequence[int] | NDArray[np.intp]
) -> NDArray[np.intp]:
    """Of each vector: -2 for a document, the row of its source for a query that has one, else -1."""
    rows = np.full(len(vectors), _NO_SOURCE, np.intp)
    count = len(vectors) if documents is None else documents
    rows[:count] = _IS_DOCUMENT
    if len(sources):
        rows[count:] = sources
    return rows


def _split(sources: NDArray[np.intp], generator: Any) -> tuple[QueryDocumentIndices, QueryDocumentIndices]:
    """Held-out queries, at most a tenth of the vectors, with documents; and the rows to learn from.

    No held-out vector is learned from, neither as a query nor as a document.
    """
    import torch  # noqa: PLC0415

    order = torch.randperm(len(sources), generator=generator)
    held_out_count = min(_MAX_HELD_OUT, len(sources) // 10)
    held_out, training = order[:held_out_count], order[held_out_count:]
    source_rows = torch.from_numpy(sources.astype(np.int64))
    documents = (source_rows == _IS_DOCUMENT).nonzero().squeeze(1)
    source_rows = source_rows.clamp(min=_NO_SOURCE)
    learned = torch.zeros(len(sources), dtype=torch.bool)
    learned[training] = True
    learned_sources = source_rows[training]
    learned_sources = torch.where(
        (learned_sources >= 0) & learned[learned_sources.clamp(min=0)], learned_sources, _NO_SOURCE
    )
    return QueryDocumentIndices(held_out, documents, source_rows[held_out]).sample(
        held_out_count, DOCUMENTS_PER_STEP, generator
    ), QueryDocumentIndices(training, documents[learned[documents]], learned_sources)


def _better_start(
    axes: Matrix, vectors: Vectors, held_out: QueryDocumentIndices, prefixes: Sequence[int]
) -> Matrix:
    """``axes`` or no rotation, whichever has prefixes nearer to the full vectors on held-out queries."""
    import torch  # noqa: PLC0415

    full_vectors = torch.from_numpy(np.asarray(vectors, np.float32))
    unrotated = prefix_divergence(full_vectors, full_vectors, held_out, prefixes)
    rotated = prefix_divergence(
        full_vectors, full_vectors, held_out, prefixes, torch.from_numpy(np.asarray(axes, np.float32))
    )
    # By ratios, so that the shortest prefix does not decide alone.
    log_ratio = (unrotated / rotated.clamp(min=_MIN_DIVERGENCE)).log().mean()
    return np.eye(len(axes)) if float(log_ratio) < 0 else axes


@dataclass(frozen=True)
class _Objective:
    """What is minimised over rotations of the leading directions."""

    leading: Any
    """A tensor, (n, w): the vectors in the leading directions of the start."""

    full_vectors: Any
    """A tensor, (n, d): the vectors as they are."""

    held_out: QueryDocumentIndices

    prefixes: Sequence[int]

    weights: Any
    """A tensor, (p,): the weight of each prefix."""

    def loss(self, pairs: QueryDocumentIndices, turn: Any) -> Any:
        """The weighted divergence of the rotated prefixes from the full vectors."""
        divergences = prefix_divergence(self.leading, self.full_vectors, pairs, self.prefixes, _cayley(turn))
        return (divergences * self.weights).sum()


def _objective(
    leading: Vectors, vectors: Vectors, prefixes: Sequence[int], held_out: QueryDocumentIndices
) -> _Objective:
    import torch  # noqa: PLC0415

    leading_tensor = torch.from_numpy(leading)
    full_vectors = torch.from_numpy(np.asarray(vectors, np.float32))
    # A long prefix is near already; unweighted, it would be sacrificed for small gains at short ones.
    divergences = prefix_divergence(leading_tensor, full_vectors, held_out, prefixes)
    weights = divergences.clamp(min=_MIN_DIVERGENCE) ** -0.5
    return _Objective(leading_tensor, full_vectors, held_out, prefixes, weights)


def _learn_turn(
    objective: _Objective, training: QueryDocumentIndices, *, steps: int, generator: Any, on_step: OnStep
) -> Matrix:
    """The orthogonal matrix, (w, w) float64, that rotates the first w directions of the start."""
    before = 0
    for rate in _LEARNING_RATES:
        report = partial(_report_offset, on_step, before)
        best, improved = _optimise(
            objective, training, rate, steps=steps, generator=generator, on_step=report
        )
        if improved:
            break
        before += _PATIENCE_STEPS
    orthogonal: Matrix = _cayley(best.double()).numpy()
    return orthogonal


def _optimise(
    objective: _Objective,
    training: QueryDocumentIndices,
    rate: float,
    *,
    steps: int,
    generator: Any,
    on_step: OnStep,
) -> tuple[Any, bool]:
    """The best rotation on held-out queries, before the Cayley transform, and whether it improves on none."""
    import torch  # noqa: PLC0415

    turn = torch.zeros((objective.leading.shape[1],) * 2, requires_grad=True)
    optimizer = torch.optim.Adam([turn], lr=rate)
    best_loss, best = math.inf, torch.zeros_like(turn)
    for step in range(steps):
        if step % _EVALUATION_STEPS == 0 or step == steps - 1:
            with torch.no_grad():
                held_out_loss = float(objective.loss(objective.held_out, turn))
            if held_out_loss < best_loss:
                best_loss, best = held_out_loss, turn.detach().clone()
            if step == _PATIENCE_STEPS and not best.any():
                return best, False
        optimizer.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        loss = (
            objective.loss(training.sample(QUERIES_PER_STEP, DOCUMENTS_PER_STEP, generator), turn)
            / objective.weights.sum()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        on_step(step + 1, steps)
    return best.detach(), True


def _report_offset(on_step: OnStep, before: int, done: int, total: int) -> None:
    on_step(before + done, before + total)


def prefix_divergence(
    rotated: Any,
    targets: Any,
    indices: QueryDocumentIndices,
    prefixes: Sequence[int],
    turn: Any | None = None,
) -> Any:
    """The divergence KL(full similarities, prefix similarities) of each prefix, (p,), and what ranking the
    queries' sources first takes at it.

    ``rotated``, (n, w), and ``targets``, (n, d) float32, are tensors of the same texts row by row; ``turn``,
    (w, w), rotates the former. ``indices`` selects the queries and documents that are compared.
    """
    import torch  # noqa: PLC0415
    from torch.nn.functional import kl_div, log_softmax, normalize  # noqa: PLC0415

    # A vector's similarity to itself carries no information.
    is_self = indices.queries[:, None] == indices.documents[None]

    def log_similarities(queries: Any, documents: Any) -> Any:
        cosines = normalize(queries, dim=1) @ normalize(documents, dim=1).T
        return log_softmax((cosines / _TEMPERATURE).masked_fill(is_self, -1e4), dim=1)

    full_similarities = log_similarities(targets[indices.queries], targets[indices.documents])
    queries, documents = rotated[indices.queries], rotated[indices.documents]
    if turn is not None:
        queries, documents = queries @ turn, documents @ turn
    is_source = indices.sources[:, None] == indices.documents[None]
    losses = []
    for prefix in prefixes:
        similarities = log_similarities(queries[:, :prefix], documents[:, :prefix])
        loss = kl_div(similarities, full_similarities, reduction="batchmean", log_target=True)
        if is_source.any():
            loss = loss - _SOURCE_WEIGHT * similarities[is_source].mean()
        losses.append(loss)
    return torch.stack(losses)


def _cayley(turn: Any) -> Any:
    """The orthogonal matrix of any square tensor: the Cayley transform of its skew-symmetric part.

    Five times as fast to optimise as the matrix exponential, at 384 dims.
    """
    import torch  # noqa: PLC0415

    skew = turn - turn.T
    unit = torch.eye(len(turn), dtype=turn.dtype)
    return torch.linalg.solve(unit + skew, unit - skew)
