"""What waits for the engine, and which of it shares the next batch."""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from nestvec.service.preprocess.rows import ModelInput

MAX_PADDING_RATIO = 1.25
"""How much wider than its shortest text a batch may be: past that, padding costs more than it saves."""

MAX_INTERACTIVE_TEXTS = 4
"""A request of at most this many texts is a query or two: it goes before bulk work."""


@dataclass(eq=False)
class QueuedInput:
    """One input that waits: its row, for which exit, since when, and whether it does no longer."""

    row: ModelInput
    exit: int = 0
    arrived: float = field(default_factory=time.monotonic)
    gone: bool = False

    @property
    def length(self) -> int:
        return self.row.length


class _Lane:
    """Texts of one priority: in order of arrival, and those of each exit sorted by length."""

    def __init__(self) -> None:
        self._arrived: deque[QueuedInput] = deque()
        self._sorted: defaultdict[int, list[QueuedInput]] = defaultdict(list)

    def __len__(self) -> int:
        return sum(map(len, self._sorted.values()))

    def add(self, item: QueuedInput) -> None:
        self._arrived.append(item)
        insort(self._sorted[item.exit], item, key=_length)

    def drop(self, item: QueuedInput) -> bool:
        """Take one text out, where it is in this line."""
        same_exit = self._sorted[item.exit]
        index = _index_of(same_exit, item)
        if index is None:
            return False
        del same_exit[index]
        item.gone = True
        return True

    def take(self, tokens: int, texts: int) -> list[QueuedInput]:
        """The oldest text and those of its exit nearest to it in length, within the budget."""
        while self._arrived[0].gone:
            self._arrived.popleft()
        same_exit = self._sorted[self._arrived[0].exit]
        first = _index_of(same_exit, self._arrived[0]) or 0
        last = first + 1
        while last - first < texts:
            if last < len(same_exit) and _within_budget(
                same_exit[first], same_exit[last], last + 1 - first, tokens
            ):
                last += 1
            elif first > 0 and _within_budget(
                same_exit[first - 1], same_exit[last - 1], last - first + 1, tokens
            ):
                first -= 1
            else:
                break
        batch = same_exit[first:last]
        del same_exit[first:last]
        for item in batch:
            item.gone = True
        return batch


def _within_budget(shortest: QueuedInput, longest: QueuedInput, texts: int, tokens: int) -> bool:
    """Whether so many texts are a batch within the budget, and near enough to each other in length."""
    return texts * longest.length <= tokens and longest.length <= MAX_PADDING_RATIO * shortest.length + 4


def _index_of(items: Sequence[QueuedInput], item: QueuedInput) -> int | None:
    index = bisect_left(items, item.length, key=_length)
    while index < len(items) and items[index].length == item.length:
        if items[index] is item:
            return index
        index += 1
    return None


class BatchQueue:
    """Texts of one encoder in two priorities; while both wait, batches alternate between them.

    A batch has one exit: a graph runs as deep as the deepest of its rows.
    """

    def __init__(self, tokens: int, texts: int) -> None:
        """``tokens`` (padding included) and ``texts``: the largest batch."""
        self._tokens, self._texts = tokens, texts
        self._lone, self._bulk = _Lane(), _Lane()
        self._after_lone = False

    def __len__(self) -> int:
        return len(self._lone) + len(self._bulk)

    def add(self, request: Sequence[QueuedInput], *, texts: int) -> None:
        """Put in what a request of ``texts`` texts in all still has to wait for."""
        lane = self._lone if texts <= MAX_INTERACTIVE_TEXTS else self._bulk
        for item in request:
            lane.add(item)

    def drop(self, item: QueuedInput) -> bool:
        """Take one text out that nobody waits for any more; False where it has left already."""
        return self._lone.drop(item) or self._bulk.drop(item)

    def take(self) -> list[QueuedInput]:
        """The next batch; every text that was put in, and not dropped, is taken exactly once."""
        lone = bool(self._lone) and not (self._bulk and self._after_lone)
        self._after_lone = lone
        return (self._lone if lone else self._bulk).take(self._tokens, self._texts)


def _length(item: QueuedInput) -> int:
    return item.length
