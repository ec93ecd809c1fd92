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

STEPS: Final = 400
ASKING: Final = 256
"""Vectors that a step searches with."""

ASKED: Final = 1536
"""Documents that it searches among."""

_KEPT = 512
"""Vectors that are kept back to judge by, at most, and that a start is chosen by."""

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
    documents: int | None = None,
    dims: Sequence[int] = (),
    steps: int = STEPS,
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

    axes = pca(vectors)
    width = min(vectors.shape[1], _WIDEST)
    prefixes = [one for one in sorted({*_PREFIXES, *dims}) if one <= _LONGEST and one < width]
    if not prefixes:
        return axes
    threads = torch.get_num_threads()
    # Sums come out the same on any number of cores; matrices this small gain little by more.
    torch.set_num_threads(1)
    try:
        draw = torch.Generator().manual_seed(seed)
        kept, rest = _split(len(vectors), documents or len(vectors), draw)
        start = _better(axes, vectors, kept, prefixes)
        leading = np.asarray(vectors @ start, np.float32)[:, :width]
        inner = _turn(
            _lesson(leading, vectors, prefixes, kept), rest, steps=steps, draw=draw, on_step=on_step
        )
    finally:
        torch.set_num_threads(threads)
    rotation = start.copy()
    rotation[:, :width] = start[:, :width] @ inner
    return polar(rotation)


@dataclass(frozen=True)
class Search:
    """Who asks and who is asked: places among some vectors, (q,) and (c,) int64 tensors."""

    asking: Any
    asked: Any

    def drawn(self, asking: int, asked: int, draw: Any) -> Search:
        """At most so many of each, without repetition."""
        import torch  # noqa: PLC0415

        return Search(
            self.asking[torch.randperm(len(self.asking), generator=draw)[:asking]],
            self.asked[torch.randperm(len(self.asked), generator=draw)[:asked]],
        )


def _split(count: int, documents: int, draw: Any) -> tuple[Search, Search]:
    """Searches that are kept back to judge by, with at most a tenth of the vectors, and those to learn from.

    What is kept back is in no search that is learned from, as a document neither.
    """
    import torch  # noqa: PLC0415

    order = torch.randperm(count, generator=draw)
    held = min(_KEPT, count // 10)
    kept, rest = order[:held], order[held:]
    return Search(kept, torch.arange(documents)).drawn(held, ASKED, draw), Search(
        rest, rest[rest < documents]
    )


def _better(axes: Matrix, vectors: Vectors, kept: Search, prefixes: Sequence[int]) -> Matrix:
    """``axes`` or no rotation at all: whichever has prefixes more like the whole, by some searches."""
    import torch  # noqa: PLC0415

    whole = torch.from_numpy(np.asarray(vectors, np.float32))
    own = divergence(whole, whole, kept, prefixes)
    turned = divergence(whole, whole, kept, prefixes, torch.from_numpy(np.asarray(axes, np.float32)))
    # By ratio, prefix by prefix: the shortest would else decide alone.
    return np.eye(len(axes)) if float((own / turned.clamp(min=_SMALLEST)).log().mean()) < 0 else axes


@dataclass(frozen=True)
class _Lesson:
    """What is learned from, tensors: ``turned``, (n, w), are the vectors ``whole``, (n, d), in the leading
    directions of the start; ``kept`` are the searches to judge by, ``weights`` those of the prefixes."""

    turned: Any
    whole: Any
    kept: Search
    prefixes: Sequence[int]
    weights: Any

    def apart(self, search: Search, turn: Any) -> Any:
        """How far the prefixes are from the whole after ``turn``, weighted, by what is found."""
        found = divergence(self.turned, self.whole, search, self.prefixes, _orthogonal(turn))
        return (found * self.weights).sum()


def _lesson(leading: Vectors, vectors: Vectors, prefixes: Sequence[int], kept: Search) -> _Lesson:
    import torch  # noqa: PLC0415

    turned, whole = torch.from_numpy(leading), torch.from_numpy(np.asarray(vectors, np.float32))
    # A long prefix is near already: unweighted, it would be given up for a little at the short ones.
    weights = divergence(turned, whole, kept, prefixes).clamp(min=_SMALLEST) ** -0.5
    return _Lesson(turned, whole, kept, prefixes, weights)


def _turn(lesson: _Lesson, rest: Search, *, steps: int, draw: Any, on_step: OnStep) -> Matrix:
    """The orthogonal (w, w) float64 that turns the first w directions of the start."""
    before = 0
    for rate in _RATES:
        hears = partial(_later, on_step, before)
        best, gained = _descend(lesson, rest, rate, steps=steps, draw=draw, on_step=hears)
        if gained:
            break
        before += _PATIENCE
    found_turn: Matrix = _orthogonal(best.double()).numpy()
    return found_turn


def _descend(
    lesson: _Lesson, rest: Search, rate: float, *, steps: int, draw: Any, on_step: OnStep
) -> tuple[Any, bool]:
    """The best turn on the way, by the searches that are kept back, and whether it was worth its steps."""
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
        loss = lesson.apart(rest.drawn(ASKING, ASKED, draw), turn) / lesson.weights.sum()
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


def divergence(
    rotated: Any, targets: Any, search: Search, prefixes: Sequence[int], turn: Any | None = None
) -> Any:
    """KL(full similarities, prefix similarities) of each prefix, (p,): how much a prefix says otherwise.

    ``rotated`` is (n, w), ``targets`` (n, d) float32 and ``turn`` (w, w), all tensors, row by row of the same
    texts; ``search`` says whose similarities to whom.
    """
    import torch  # noqa: PLC0415
    from torch.nn.functional import kl_div, log_softmax, normalize  # noqa: PLC0415

    # A vector's likeness to itself says nothing.
    itself = search.asking[:, None] == search.asked[None]

    def likeness(asking: Any, asked: Any) -> Any:
        cosines = normalize(asking, dim=1) @ normalize(asked, dim=1).T
        return log_softmax((cosines / _TEMPERATURE).masked_fill(itself, -1e4), dim=1)

    aim = likeness(targets[search.asking], targets[search.asked])
    asking, asked = rotated[search.asking], rotated[search.asked]
    if turn is not None:
        asking, asked = asking @ turn, asked @ turn
    losses = [
        kl_div(likeness(asking[:, :prefix], asked[:, :prefix]), aim, reduction="batchmean", log_target=True)
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
