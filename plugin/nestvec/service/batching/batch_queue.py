"""Inputs that wait for the engine, and which of them share the next batch."""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from nestvec.service.preprocess.inputs import ModelInput
from nestvec.service.settings import MAX_INTERACTIVE_INPUTS

MAX_PADDING_RATIO: Final = 1.25
"""The longest input of a batch divided by the shortest: beyond this, padding costs more than it saves."""


@dataclass(eq=False)
class QueuedInput:
    """One input that waits for the engine."""

    model_input: ModelInput
    exit: int = 0
    arrived: float = field(default_factory=time.monotonic)
    gone: bool = False
    """Whether it has left the queue."""

    @property
    def length(self) -> int:
        return self.model_input.length


class _Lane:
    """Inputs of one priority: in order of arrival, and those of each exit sorted by length."""

    def __init__(self) -> None:
        self._arrived: deque[QueuedInput] = deque()
        self._sorted: defaultdict[int, list[QueuedInput]] = defaultdict(list)

    def __len__(self) -> int:
        return sum(map(len, self._sorted.values()))

    def add(self, item: QueuedInput) -> None:
        self._arrived.append(item)
        insort(self._sorted[item.exit], item, key=_length)

    def drop(self, item: QueuedInput) -> bool:
        """Remove an input; False if it is not in this lane."""
        same_exit = self._sorted[item.exit]
        index = _index_of(same_exit, item)
        if index is None:
            return False
        del same_exit[index]
        item.gone = True
        return True

    def take(self, max_tokens: int, max_inputs: int) -> list[QueuedInput]:
        """Remove the oldest input and those of its exit nearest to it in length, within the budget."""
        while self._arrived[0].gone:
            self._arrived.popleft()
        same_exit = self._sorted[self._arrived[0].exit]
        first = _index_of(same_exit, self._arrived[0]) or 0
        last = first + 1
        while last - first < max_inputs:
            size = last - first + 1
            if last < len(same_exit) and _fits_batch(same_exit[first], same_exit[last], size, max_tokens):
                last += 1
            elif first > 0 and _fits_batch(same_exit[first - 1], same_exit[last - 1], size, max_tokens):
                first -= 1
            else:
                break
        batch = same_exit[first:last]
        del same_exit[first:last]
        for item in batch:
            item.gone = True
        return batch


def _fits_batch(shortest: QueuedInput, longest: QueuedInput, size: int, max_tokens: int) -> bool:
    """Whether ``size`` inputs are within the budget and similar enough in length."""
    return size * longest.length <= max_tokens and longest.length <= MAX_PADDING_RATIO * shortest.length + 4


def _index_of(items: Sequence[QueuedInput], item: QueuedInput) -> int | None:
    index = bisect_left(items, item.length, key=_length)
    while index < len(items) and items[index].length == item.length:
        if items[index] is item:
            return index
        index += 1
    return None


class BatchQueue:
    """Inputs of one encoder in two priorities; while both wait, batches alternate between them.

    A batch has one exit: a graph runs as deep as its deepest row.
    """

    def __init__(self, max_tokens: int, max_inputs: int) -> None:
        """``max_tokens`` (padding included) and ``max_inputs`` bound a batch."""
        self._max_tokens, self._max_inputs = max_tokens, max_inputs
        self._interactive, self._bulk = _Lane(), _Lane()
        self._after_interactive = False

    def __len__(self) -> int:
        return len(self._interactive) + len(self._bulk)

    def add(self, items: Sequence[QueuedInput], *, request_size: int) -> None:
        """Add what a request of ``request_size`` inputs in all waits for."""
        lane = self._interactive if request_size <= MAX_INTERACTIVE_INPUTS else self._bulk
        for item in items:
            lane.add(item)

    def drop(self, item: QueuedInput) -> bool:
        """Remove an input that no request waits for any more; False if it has already left."""
        return self._interactive.drop(item) or self._bulk.drop(item)

    def take(self) -> list[QueuedInput]:
        """The next batch. Every input that is added and not dropped is taken exactly once."""
        interactive = bool(self._interactive) and not (self._bulk and self._after_interactive)
        self._after_interactive = interactive
        lane = self._interactive if interactive else self._bulk
        return lane.take(self._max_tokens, self._max_inputs)


def _length(item: QueuedInput) -> int:
    return item.length
