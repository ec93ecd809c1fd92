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
from numpy.typing import NDArray

from nestvec_schemas.vectors import Vectors

Matrix = NDArray[np.float64]
OnStep = Callable[[int, int], None]
"""Hears of the steps done and of those in all."""

STEPS: Final = 400
BATCH: Final = 512
"""Vectors that a step compares with one another."""

_TEMPERATURE = 1 / 20
_RATES = (2e-3, 4e-4, 8e-5)
"""Tried in turn: of few vectors, a high rate learns by heart at once what the others do not have."""

_CHECKED = 25
"""Steps between two looks at the vectors that are kept back."""

_PATIENCE = 100
"""Steps in which a rate must have gained something on them."""

_WIDEST = 512
"""Leading directions that are turned against one another: beyond, prefixes lose next to nothing, and a
step's cost grows with the cube."""
_LONGEST = 256
_SMALLEST = 1e-9
_PREFIXES = (16, 24, 32, 48, 64, 96, 128, 192, 256)


def pca(vectors: Vectors) -> Matrix:
    """The rotation R onto uncentred principal axes, (d, d) float64: rows of ``vectors`` R.

    Axes in order of their share of the squared length of ``vectors``, (n, d) float32. Uncentred: a mean
    that is taken off would change every cosine. Each axis points where its largest component is positive.
    """
    wide = np.asarray(vectors, np.float64)
    _, axes = np.linalg.eigh(wide.T @ wide)
    axes = axes[:, ::-1]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return np.ascontiguousarray(axes * np.where(largest < 0, -1.0, 1.0))


def learned(
    vectors: Vectors,
    *,
    dims: Sequence[int] = (),
    steps: int = STEPS,
    seed: int = 0,
    on_step: OnStep = lambda done, total: None,
) -> Matrix:
    """The rotation, (d, d) float64, by whose prefixes ``vectors``, (n, d) float32, find their like again.

    Starts from ``pca``, or from the vectors' own order where that is better already, as training for short
    vectors makes it, and turns the leading axes so that in random batches the softmax over similarities
    at each prefix comes near to that at full length (Kullback-Leibler, temperature 1/20; Kusupati et al.
    2022 sum over prefixes as well). ``dims`` are prefixes to learn beside the usual ladder. A tenth of the
    vectors is kept back, and the turn that does best on it is taken; where none does, slower ones are tried:
    few vectors would else be learned by heart. Orthogonal to float64's precision; the same for one seed.
    """
    import torch  # noqa: PLC0415 - seconds of imports

    axes = pca(vectors)
    width = min(vectors.shape[1], _WIDEST)
    prefixes = [one for one in sorted({*_PREFIXES, *dims}) if one <= _LONGEST and one < width]
    if not prefixes:
        return axes
    threads = torch.get_num_threads()
    # Sums come out the same on any number of cores; matrices this small gain little by more.
    torch.set_num_threads(1)
    try:
        start = _better(axes, vectors, prefixes, seed)
        leading = np.asarray(vectors @ start, np.float32)[:, :width]
        inner = _turn(leading, vectors, prefixes, steps=steps, seed=seed, on_step=on_step)
    finally:
        torch.set_num_threads(threads)
    rotation = start.copy()
    rotation[:, :width] = start[:, :width] @ inner
    return polar(rotation)


def _better(axes: Matrix, vectors: Vectors, prefixes: Sequence[int], seed: int) -> Matrix:
    """``axes`` or no rotation at all: whichever has prefixes more like the whole, on some of ``vectors``."""
    import torch  # noqa: PLC0415

    some = vectors[np.random.default_rng(seed).permutation(len(vectors))[:BATCH]]
    whole = torch.from_numpy(np.asarray(some, np.float32))
    own = divergence(whole, whole, prefixes)
    turned = divergence(torch.from_numpy(np.asarray(some @ axes, np.float32)), whole, prefixes)
    # By ratio, prefix by prefix: the shortest would else decide alone.
    return np.eye(len(axes)) if float((own / turned.clamp(min=_SMALLEST)).log().mean()) < 0 else axes


@dataclass(frozen=True)
class _Lesson:
    """What is learned from, all tensors: ``turned``, (n, w), are the vectors ``whole``, (n, d), in the
    leading directions of the start; ``kept`` and ``rest`` are the rows to judge by and to learn by."""

    turned: Any
    whole: Any
    kept: Any
    rest: Any
    prefixes: Sequence[int]
    weights: Any

    def apart(self, rows: Any, turn: Any) -> Any:
        """How far the prefixes of ``rows`` are from the whole after ``turn``, weighted."""
        found = divergence(self.turned[rows] @ _orthogonal(turn), self.whole[rows], self.prefixes)
        return (found * self.weights).sum()


def _turn(
    leading: Vectors, vectors: Vectors, prefixes: Sequence[int], *, steps: int, seed: int, on_step: OnStep
) -> Matrix:
    """The orthogonal (w, w) float64 that turns ``leading``, the first w directions of the start."""
    import torch  # noqa: PLC0415

    draw = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(vectors), generator=draw)
    kept, rest = order[: min(BATCH, len(order) // 10)], order[min(BATCH, len(order) // 10) :]
    turned, whole = torch.from_numpy(leading), torch.from_numpy(np.asarray(vectors, np.float32))
    # A long prefix is near already: unweighted, it would be given up for a little at the short ones.
    weights = divergence(turned[kept], whole[kept], prefixes).clamp(min=_SMALLEST) ** -0.5
    lesson = _Lesson(turned, whole, kept, rest, prefixes, weights)
    before = 0
    for rate in _RATES:
        hears = partial(_later, on_step, before)
        best, gained = _descend(lesson, rate, steps=steps, draw=draw, on_step=hears)
        if gained:
            break
        before += _PATIENCE
    found_turn: Matrix = _orthogonal(best.double()).numpy()
    return found_turn


def _descend(lesson: _Lesson, rate: float, *, steps: int, draw: Any, on_step: OnStep) -> tuple[Any, bool]:
    """The best turn on the way, by the rows that are kept back, and whether the rate was worth its steps."""
    import torch  # noqa: PLC0415

    turn = torch.zeros((lesson.turned.shape[1],) * 2, requires_grad=True)
    optimiser = torch.optim.Adam([turn], lr=rate)
    least, best = math.inf, torch.zeros_like(turn)
    for step in range(steps):
        if step % _CHECKED == 0 or step == steps - 1:
            with torch.no_grad():
                found = float(lesson.apart(lesson.kept, turn))
            if found < least:
                least, best = found, turn.detach().clone()
            if step == _PATIENCE and not best.any():
                return best, False
        optimiser.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        chosen = lesson.rest[torch.randperm(len(lesson.rest), generator=draw)[:BATCH]]
        loss = lesson.apart(chosen, turn) / lesson.weights.sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        on_step(step + 1, steps)
    return best.detach(), True


def _later(on_step: OnStep, before: int, done: int, total: int) -> None:
    on_step(before + done, before + total)


def polar(matrix: Matrix) -> Matrix:
    """The orthogonal matrix nearest to ``matrix``, (d, d) float64: its polar factor."""
    left, _, right = np.linalg.svd(np.asarray(matrix, np.float64))
    return np.ascontiguousarray(left @ right)


def divergence(rotated: Any, targets: Any, prefixes: Sequence[int]) -> Any:
    """KL(full similarities, prefix similarities) of each prefix, (p,): how much a prefix says otherwise.

    ``rotated`` is (b, w) and ``targets`` (b, d) float32, all tensors, row by row of the same texts.
    """
    import torch  # noqa: PLC0415
    from torch.nn.functional import kl_div, log_softmax, normalize  # noqa: PLC0415

    # A vector's likeness to itself says nothing.
    itself = torch.eye(len(rotated), dtype=torch.bool)

    def likeness(rows: Any) -> Any:
        unit = normalize(rows, dim=1)
        return log_softmax((unit @ unit.T / _TEMPERATURE).masked_fill(itself, -1e4), dim=1)

    aim = likeness(targets)
    losses = [
        kl_div(likeness(rotated[:, :prefix]), aim, reduction="batchmean", log_target=True)
        for prefix in prefixes
    ]
    return torch.stack(losses)


def _orthogonal(turn: Any) -> Any:
    """The orthogonal matrix of a square tensor of any numbers: the Cayley transform of its skew part.

    Five times as fast to learn by as the exponential, at 384 dims.
    """
    import torch  # noqa: PLC0415

    skew = turn - turn.T
    unit = torch.eye(len(turn), dtype=turn.dtype)
    return torch.linalg.solve(unit + skew, unit - skew)
