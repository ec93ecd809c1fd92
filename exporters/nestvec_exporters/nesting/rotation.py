"""Orthogonal rotations that put what tells vectors apart into their first numbers.

A rotation changes no length and no angle between whole vectors; only prefixes differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from nestvec_schemas.vectors import Matrix, Vectors

OnStep = Callable[[int, int], None]
"""Hears of the steps done and of those in all."""

DEFAULT_STEPS: Final = 400
QUERIES_PER_STEP: Final = 256
"""Vectors that a step searches with."""

DOCUMENTS_PER_STEP: Final = 1536
"""Documents that it searches among."""

_MAX_HELD_OUT = 512
"""Vectors that are kept back to judge by, at most, and that a start is chosen by."""

_TEMPERATURE = 1 / 20
_LEARNING_RATES = (2e-3, 4e-4, 8e-5)
"""Tried in turn: of few vectors, a high rate learns by heart at once what the others do not have."""

_EVALUATION_STEPS = 25
"""Steps between two looks at the vectors that are kept back."""

_PATIENCE_STEPS = 100
"""Steps in which a rate must have gained something on them."""

_MAX_ROTATED_DIMS = 512
"""Leading directions that are turned against one another: beyond, prefixes lose next to nothing, and a
step's cost grows with the cube."""
_MAX_PREFIX = 256
_MIN_DIVERGENCE = 1e-9
_PREFIXES = (16, 24, 32, 48, 64, 96, 128, 192, 256)


def pca_rotation(vectors: Vectors) -> Matrix:
    """The rotation R onto uncentred principal axes, (d, d) float64: rows of ``vectors`` R.

    Axes in order of their share of the squared length of ``vectors``, (n, d) float32. Uncentred: a mean
    that is taken off would change every cosine. Each axis points where its largest component is positive.
    """
    wide = np.asarray(vectors, np.float64)
    _, axes = np.linalg.eigh(wide.T @ wide)
    axes = axes[:, ::-1]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return np.ascontiguousarray(axes * np.where(largest < 0, -1.0, 1.0))


def learn_rotation(
    vectors: Vectors,
    *,
    documents: int | None = None,
    dims: Sequence[int] = (),
    steps: int = DEFAULT_STEPS,
    seed: int = 0,
    on_step: OnStep = lambda done, total: None,
) -> Matrix:
    """The rotation, (d, d) float64, by whose prefixes ``vectors``, (n, d) float32, find their like again.

    Starts from ``pca``, or from the vectors' own order where that is better already, as training for short
    vectors makes it, and turns the leading axes so that the softmax over similarities of random vectors to
    random documents comes near at each prefix to that at full length (Kullback-Leibler, temperature 1/20;
    Kusupati et al. 2022 sum over prefixes as well). The first ``documents`` of the vectors are searched, all
    of them ask: what only asks, as a query does, is compared with nothing of its own kind. ``dims`` are
    prefixes to learn beside the usual ladder. A tenth of the vectors is kept back, and the turn that does
    best on it is taken; where none does, slower ones are tried: few vectors would else be learned by heart.
    Orthogonal to float64's precision; the same for one seed.
    """
    import torch  # noqa: PLC0415 - seconds of imports

    axes = pca_rotation(vectors)
    width = min(vectors.shape[1], _MAX_ROTATED_DIMS)
    prefixes = [prefix for prefix in sorted({*_PREFIXES, *dims}) if prefix <= _MAX_PREFIX and prefix < width]
    if not prefixes:
        return axes
    threads = torch.get_num_threads()
    # Sums come out the same on any number of cores; matrices this small gain little by more.
    torch.set_num_threads(1)
    try:
        generator = torch.Generator().manual_seed(seed)
        held_out, training = _split(len(vectors), documents or len(vectors), generator)
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


@dataclass(frozen=True)
class QueryDocumentIndices:
    """Who asks and who is asked: places among some vectors, (q,) and (c,) int64 tensors."""

    queries: Any
    documents: Any

    def sample(self, max_queries: int, max_documents: int, generator: Any) -> QueryDocumentIndices:
        """At most so many of each, without repetition."""
        import torch  # noqa: PLC0415

        return QueryDocumentIndices(
            self.queries[torch.randperm(len(self.queries), generator=generator)[:max_queries]],
            self.documents[torch.randperm(len(self.documents), generator=generator)[:max_documents]],
        )


def _split(count: int, documents: int, generator: Any) -> tuple[QueryDocumentIndices, QueryDocumentIndices]:
    """Searches that are kept back to judge by, with at most a tenth of the vectors, and those to learn from.

    What is kept back is in no search that is learned from, as a document neither.
    """
    import torch  # noqa: PLC0415

    order = torch.randperm(count, generator=generator)
    held_out_count = min(_MAX_HELD_OUT, count // 10)
    held_out, training = order[:held_out_count], order[held_out_count:]
    return QueryDocumentIndices(held_out, torch.arange(documents)).sample(
        held_out_count, DOCUMENTS_PER_STEP, generator
    ), QueryDocumentIndices(training, training[training < documents])


def _better_start(
    axes: Matrix, vectors: Vectors, held_out: QueryDocumentIndices, prefixes: Sequence[int]
) -> Matrix:
    """``axes`` or no rotation at all: whichever has prefixes more like the whole, by some searches."""
    import torch  # noqa: PLC0415

    full_vectors = torch.from_numpy(np.asarray(vectors, np.float32))
    unrotated = prefix_divergence(full_vectors, full_vectors, held_out, prefixes)
    rotated = prefix_divergence(
        full_vectors, full_vectors, held_out, prefixes, torch.from_numpy(np.asarray(axes, np.float32))
    )
    # By ratio, prefix by prefix: the shortest would else decide alone.
    return (
        np.eye(len(axes))
        if float((unrotated / rotated.clamp(min=_MIN_DIVERGENCE)).log().mean()) < 0
        else axes
    )


@dataclass(frozen=True)
class _Objective:
    """What is learned from, tensors: ``turned``, (n, w), are the vectors ``whole``, (n, d), in the leading
    directions of the start; ``kept`` are the searches to judge by, ``weights`` those of the prefixes."""

    leading: Any
    full_vectors: Any
    held_out: QueryDocumentIndices
    prefixes: Sequence[int]
    weights: Any

    def loss(self, pairs: QueryDocumentIndices, turn: Any) -> Any:
        """How far the prefixes are from the whole after ``turn``, weighted, by what is found."""
        divergences = prefix_divergence(self.leading, self.full_vectors, pairs, self.prefixes, _cayley(turn))
        return (divergences * self.weights).sum()


def _objective(
    leading: Vectors, vectors: Vectors, prefixes: Sequence[int], held_out: QueryDocumentIndices
) -> _Objective:
    import torch  # noqa: PLC0415

    leading_tensor, full_vectors = (
        torch.from_numpy(leading),
        torch.from_numpy(np.asarray(vectors, np.float32)),
    )
    # A long prefix is near already: unweighted, it would be given up for a little at the short ones.
    weights = (
        prefix_divergence(leading_tensor, full_vectors, held_out, prefixes).clamp(min=_MIN_DIVERGENCE) ** -0.5
    )
    return _Objective(leading_tensor, full_vectors, held_out, prefixes, weights)


def _learn_turn(
    objective: _Objective, training: QueryDocumentIndices, *, steps: int, generator: Any, on_step: OnStep
) -> Matrix:
    """The orthogonal (w, w) float64 that turns the first w directions of the start."""
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
    """The best turn on the way, by the searches that are kept back, and whether it was worth its steps."""
    import torch  # noqa: PLC0415

    turn = torch.zeros((objective.leading.shape[1],) * 2, requires_grad=True)
    optimiser = torch.optim.Adam([turn], lr=rate)
    best_loss, best = math.inf, torch.zeros_like(turn)
    for step in range(steps):
        if step % _EVALUATION_STEPS == 0 or step == steps - 1:
            with torch.no_grad():
                held_out_loss = float(objective.loss(objective.held_out, turn))
            if held_out_loss < best_loss:
                best_loss, best = held_out_loss, turn.detach().clone()
            if step == _PATIENCE_STEPS and not best.any():
                return best, False
        optimiser.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        loss = (
            objective.loss(training.sample(QUERIES_PER_STEP, DOCUMENTS_PER_STEP, generator), turn)
            / objective.weights.sum()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        on_step(step + 1, steps)
    return best.detach(), True


def _report_offset(on_step: OnStep, before: int, done: int, total: int) -> None:
    on_step(before + done, before + total)


def nearest_orthogonal(matrix: Matrix) -> Matrix:
    """The orthogonal matrix nearest to ``matrix``, (d, d) float64: its polar factor."""
    left, _, right = np.linalg.svd(np.asarray(matrix, np.float64))
    return np.ascontiguousarray(left @ right)


def prefix_divergence(
    rotated: Any,
    targets: Any,
    indices: QueryDocumentIndices,
    prefixes: Sequence[int],
    turn: Any | None = None,
) -> Any:
    """KL(full similarities, prefix similarities) of each prefix, (p,): how much a prefix says otherwise.

    ``rotated`` is (n, w), ``targets`` (n, d) float32 and ``turn`` (w, w), all tensors, row by row of the same
    texts; ``search`` says whose similarities to whom.
    """
    import torch  # noqa: PLC0415
    from torch.nn.functional import kl_div, log_softmax, normalize  # noqa: PLC0415

    # A vector's likeness to itself says nothing.
    is_self = indices.queries[:, None] == indices.documents[None]

    def log_similarities(queries: Any, documents: Any) -> Any:
        cosines = normalize(queries, dim=1) @ normalize(documents, dim=1).T
        return log_softmax((cosines / _TEMPERATURE).masked_fill(is_self, -1e4), dim=1)

    full_similarities = log_similarities(targets[indices.queries], targets[indices.documents])
    queries, documents = rotated[indices.queries], rotated[indices.documents]
    if turn is not None:
        queries, documents = queries @ turn, documents @ turn
    losses = [
        kl_div(
            log_similarities(queries[:, :prefix], documents[:, :prefix]),
            full_similarities,
            reduction="batchmean",
            log_target=True,
        )
        for prefix in prefixes
    ]
    return torch.stack(losses)


def _cayley(turn: Any) -> Any:
    """The orthogonal matrix of a square tensor of any numbers: the Cayley transform of its skew part.

    Five times as fast to learn by as the exponential, at 384 dims.
    """
    import torch  # noqa: PLC0415

    skew = turn - turn.T
    unit = torch.eye(len(turn), dtype=turn.dtype)
    return torch.linalg.solve(unit + skew, unit - skew)
