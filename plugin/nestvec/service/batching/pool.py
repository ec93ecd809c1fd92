"""What waits for the engine, and which of it shares the next batch."""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from nestvec.service.preprocess.rows import Row

PADDING = 1.25
"""How much wider than its shortest text a batch may be: past that, padding costs more than it saves."""

LONE = 4
"""A request of at most this many texts is a query or two: it goes before bulk work."""


@dataclass(eq=False)
class Waiting:
    """One input that waits: its row, for which exit, since when, and whether it does no longer."""

    row: Row
    exit: int = 0
    arrived: float = field(default_factory=time.monotonic)
    gone: bool = False

    @property
    def length(self) -> int:
        return self.row.length


class _Line:
    """Texts of one priority: in order of arrival, and those of each exit sorted by length."""

    def __init__(self) -> None:
        self._arrived: deque[Waiting] = deque()
        self._sorted: defaultdict[int, list[Waiting]] = defaultdict(list)

    def __len__(self) -> int:
        return sum(map(len, self._sorted.values()))

    def add(self, one: Waiting) -> None:
        self._arrived.append(one)
        insort(self._sorted[one.exit], one, key=_length)

    def drop(self, one: Waiting) -> bool:
        """Take one text out, where it is in this line."""
        same = self._sorted[one.exit]
        index = _position(same, one)
        if index is None:
            return False
        del same[index]
        one.gone = True
        return True

    def take(self, tokens: int, texts: int) -> list[Waiting]:
        """The oldest text and those of its exit nearest to it in length, within the budget."""
        while self._arrived[0].gone:
            self._arrived.popleft()
        same = self._sorted[self._arrived[0].exit]
        first = _position(same, self._arrived[0]) or 0
        last = first + 1
        while last - first < texts:
            if last < len(same) and _fits(same[first], same[last], last + 1 - first, tokens):
                last += 1
            elif first > 0 and _fits(same[first - 1], same[last - 1], last - first + 1, tokens):
                first -= 1
            else:
                break
        chosen = same[first:last]
        del same[first:last]
        for one in chosen:
            one.gone = True
        return chosen


def _fits(shortest: Waiting, longest: Waiting, texts: int, tokens: int) -> bool:
    """Whether so many texts are a batch within the budget, and near enough to each other in length."""
    return texts * longest.length <= tokens and longest.length <= PADDING * shortest.length + 4


def _position(same: Sequence[Waiting], one: Waiting) -> int | None:
    index = bisect_left(same, one.length, key=_length)
    while index < len(same) and same[index].length == one.length:
        if same[index] is one:
            return index
        index += 1
    return None


class Pool:
    """Texts of one encoder in two priorities; while both wait, batches alternate between them.

    A batch has one exit: a graph runs as deep as the deepest of its rows.
    """

    def __init__(self, tokens: int, texts: int) -> None:
        """``tokens`` (padding included) and ``texts``: the largest batch."""
        self._tokens, self._texts = tokens, texts
        self._lone, self._bulk = _Line(), _Line()
        self._after_lone = False

    def __len__(self) -> int:
        return len(self._lone) + len(self._bulk)

    def add(self, request: Sequence[Waiting], *, texts: int) -> None:
        """Put in what a request of ``texts`` texts in all still has to wait for."""
        line = self._lone if texts <= LONE else self._bulk
        for one in request:
            line.add(one)

    def drop(self, one: Waiting) -> bool:
        """Take one text out that nobody waits for any more; False where it has left already."""
        return self._lone.drop(one) or self._bulk.drop(one)

    def take(self) -> list[Waiting]:
        """The next batch; every text that was put in, and not dropped, is taken exactly once."""
        lone = bool(self._lone) and not (self._bulk and self._after_lone)
        self._after_lone = lone
        return (self._lone if lone else self._bulk).take(self._tokens, self._texts)


def _length(one: Waiting) -> int:
    return one.length
