"""Inputs that wait for the engine, and which of them share the next batch."""

from __future__ import annotations

import itertools
import math
import time
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from nestvec.service.batching.batch_size import BatchBudget
from nestvec.service.preprocess.inputs import ModelInput
from nestvec.service.settings import MAX_INTERACTIVE_INPUTS

MAX_PADDING_RATIO: Final = 1.25
"""The longest input of a batch divided by the shortest: beyond this, padding costs more than it saves."""

_PADDING_PART: Final = 0.05
"""Padding, as a part of a batch's tokens, that hardly costs anything."""

_ANY_SIZE: Final = BatchBudget()

_MAX_IDLE_CLIENTS: Final = 256

_PATIENCE_BATCHES: Final = 16
_PATIENCE_TURNS: Final = 2
"""A client waits for this many batches, and this many more for each client that waits too, but no longer."""

_SHARED_SECONDS: Final = 10.0
"""For so long after its last input, a client counts as one that shares the encoder."""

_numbers = itertools.count()

_sort_key = attrgetter("order")


@dataclass(eq=False, slots=True)
class QueuedInput:
    """One input that waits for the engine."""

    model_input: ModelInput
    exit: int = 0
    arrived: float = field(default_factory=time.monotonic)
    number: int = field(default_factory=_numbers.__next__)
    lanes: list[_Lane] = field(default_factory=list)
    """Those of the clients that wait for it; none once it has left the queue."""
    length: int = field(init=False)
    """In tokens."""
    order: tuple[int, int] = field(init=False)
    """Its place in a lane, by length."""

    def __post_init__(self) -> None:
        self.length = self.model_input.length
        self.order = self.length, self.number


class _Lane:
    """What one client waits for in one priority: in order of arrival, and that of each exit by length."""

    def __init__(self, owner: _Client) -> None:
        self.owner = owner
        self._in_order: OrderedDict[QueuedInput, None] = OrderedDict()
        self._by_length: dict[int, list[QueuedInput]] = {}

    def __len__(self) -> int:
        return len(self._in_order)

    @property
    def first(self) -> QueuedInput:
        return next(iter(self._in_order))

    def add(self, item: QueuedInput) -> None:
        self._in_order[item] = None
        insort(self._by_length.setdefault(item.exit, []), item, key=_sort_key)
        item.lanes.append(self)

    def remove(self, item: QueuedInput) -> None:
        del self._in_order[item]
        same_exit = self._by_length[item.exit]
        del same_exit[bisect_left(same_exit, _sort_key(item), key=_sort_key)]

    def fill(self, batch: _Batch, max_tokens: int | None = None) -> None:
        """Move inputs into a batch, those nearest to its first in length, of ``max_tokens`` together."""
        same_exit = self._by_length.get(batch.exit)
        if not same_exit:
            return
        first = last = bisect_left(same_exit, batch.items[0].length, key=_length)
        before = batch.tokens
        while max_tokens is None or batch.tokens - before < max_tokens:
            longer = same_exit[last] if last < len(same_exit) else None
            shorter = same_exit[first - 1] if first > 0 else None
            added = batch.add_nearer(shorter, longer)
            if added is None:
                break
            last += added is longer
            first -= added is shorter
        moved = same_exit[first:last]
        del same_exit[first:last]
        for item in moved:
            del self._in_order[item]
            _leave(item, self)


class _Client:
    """What one client waits for; while both priorities wait, its batches alternate between them."""

    def __init__(self) -> None:
        self.start = 0.0
        """When its next batch starts, in virtual time."""
        self.waiting_since = 0
        """The number of batches before the first that it waited for since its last one."""
        self.interactive, self.bulk = _Lane(self), _Lane(self)
        self._after_interactive = False

    def __len__(self) -> int:
        return len(self.interactive) + len(self.bulk)

    def lane(self, *, interactive: bool) -> _Lane:
        return self.interactive if interactive else self.bulk

    def next_is_interactive(self) -> bool:
        interactive = bool(self.interactive) and not (self.bulk and self._after_interactive)
        self._after_interactive = interactive
        return interactive


class _Batch:
    """Inputs of one exit, near in length, within the budget of a batch."""

    def __init__(
        self, first: QueuedInput, max_tokens: int, max_inputs: int, padding: int | None = None
    ) -> None:
        """``padding`` tokens in all may be in it, or a small part of its own; None for any number."""
        self.items, self.exit, self.tokens = [first], first.exit, first.length
        self._shortest = self._longest = first.length
        self._max_tokens, self._max_inputs, self._padding = max_tokens, max_inputs, padding

    def add_nearer(self, shorter: QueuedInput | None, longer: QueuedInput | None) -> QueuedInput | None:
        """Add the input that needs less padding, or the other one if that does not fit; None if none does."""
        first, second = longer, shorter
        if longer is not None and shorter is not None:
            first, second = sorted((longer, shorter), key=self._padding_for)
        return next((item for item in (first, second) if item is not None and self.add(item)), None)

    def _padding_for(self, item: QueuedInput) -> int:
        if item.length <= self._longest:
            return self._longest - item.length
        return len(self.items) * (item.length - self._longest)

    def add(self, item: QueuedInput) -> bool:
        """Add an input; False if it does not fit."""
        shortest, longest = min(self._shortest, item.length), max(self._longest, item.length)
        size = len(self.items) + 1
        if size > self._max_inputs or size * longest > self._max_tokens:
            return False
        if longest > MAX_PADDING_RATIO * shortest + 4:
            return False
        tokens = self.tokens + item.length
        if self._padding is not None and size * longest - tokens > max(self._padding, _PADDING_PART * tokens):
            return False
        self.items.append(item)
        self._shortest, self._longest, self.tokens = shortest, longest, tokens
        return True


class BatchQueue:
    """Inputs of one encoder, which clients take turns in: start-time fair queueing (Goyal et al. 1996).

    Virtual time counts tokens. A batch starts with the client that has had the fewest; one that had nothing
    waiting is next. It takes of that client what fits, then of the others, who pay for what is theirs. The
    batch of a query grows by others' queries only as far as that hardly delays it.

    Each client has two priorities. A batch has one exit: a graph runs as deep as its deepest row.
    """

    def __init__(self, max_tokens: int, max_inputs: int, clock: Callable[[], float] = time.monotonic) -> None:
        """``max_tokens`` (padding included) and ``max_inputs`` bound a batch."""
        self._max_tokens, self._max_inputs, self._clock = max_tokens, max_inputs, clock
        self._clients: dict[str, _Client] = {}
        self._newest: dict[str, float] = {}
        """The two clients that had inputs last, and when."""
        self._newest_query = -math.inf
        self._virtual_time = 0.0
        self._batches = 0
        self._length = 0
        self.tokens = 0
        """Of all inputs that wait."""

    def __len__(self) -> int:
        return self._length

    @property
    def is_shared(self) -> bool:
        """Whether several clients use the encoder, and queries are among what they send.

        Each has inputs here, or had some lately: a client that sends queries waits for nothing between two of
        them, but the next waits for the batch before it.
        """
        since = self._clock() - _SHARED_SECONDS
        if self._newest_query < since:
            return False
        users = {name for name, seconds in self._newest.items() if seconds >= since}
        return len(users | {name for name, client in self._clients.items() if client}) > 1

    def add(self, items: Sequence[QueuedInput], *, request_size: int, client: str = "") -> None:
        """Add what a client's request of ``request_size`` inputs in all waits for."""
        lane = self._lane(client, request_size)
        for item in items:
            lane.add(item)
        self._length += len(items)
        self.tokens += sum([item.length for item in items])

    def share(self, item: QueuedInput, *, request_size: int, client: str = "") -> None:
        """Another request waits for an input too: it comes when the first of their clients is served."""
        if not item.lanes:
            return
        lane = self._lane(client, request_size)
        if lane not in item.lanes and lane.owner.interactive not in item.lanes:
            lane.add(item)

    def drop(self, item: QueuedInput) -> bool:
        """Remove an input that no request waits for any more; False if it has already left."""
        if not item.lanes:
            return False
        _leave(item)
        self._length -= 1
        self.tokens -= item.length
        return True

    def take(self, size: BatchBudget = _ANY_SIZE) -> list[QueuedInput]:
        """The next batch. Every input that is added and not dropped is taken exactly once."""
        clients = sorted((client for client in self._clients.values() if client), key=_priority)
        client = self._next(clients)
        self._virtual_time = max(self._virtual_time, client.start)
        self._batches += 1
        client.waiting_since = self._batches
        interactive = client.next_is_interactive()
        lane = client.lane(interactive=interactive)
        budget = self._max_tokens if size.tokens is None else min(size.tokens, self._max_tokens)
        batch = _Batch(lane.first, budget, self._max_inputs, size.padding)
        _leave(lane.first)
        lane.fill(batch)
        own_tokens = batch.tokens
        client.start += own_tokens
        for other in clients:
            if other is client:
                continue
            if len(batch.items) >= self._max_inputs:
                break
            before = batch.tokens
            free = own_tokens + size.free_tokens - before
            other.lane(interactive=interactive).fill(batch, max(own_tokens, free) if interactive else None)
            other.start += batch.tokens - before
        self._length -= len(batch.items)
        self.tokens -= batch.tokens
        self._forget_idle()
        return batch.items

    def _next(self, clients: Sequence[_Client]) -> _Client:
        """The first in virtual time; but a stream of new clients must not keep others waiting for good."""
        longest = min(clients, key=_waiting_since)
        patience = _PATIENCE_BATCHES + _PATIENCE_TURNS * len(clients)
        return longest if self._batches - longest.waiting_since > patience else clients[0]

    def _lane(self, name: str, request_size: int) -> _Lane:
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = _Client()
        if not client:
            client.start = max(client.start, self._virtual_time)
            client.waiting_since = self._batches
        self._newest.pop(name, None)
        self._newest[name] = self._clock()
        if len(self._newest) > 2:
            del self._newest[next(iter(self._newest))]
        interactive = request_size <= MAX_INTERACTIVE_INPUTS
        if interactive:
            self._newest_query = self._newest[name]
        return client.lane(interactive=interactive)

    def _forget_idle(self) -> None:
        """Forget clients that a new one is equal to."""
        if not self._length:
            self._clients.clear()
        elif len(self._clients) > _MAX_IDLE_CLIENTS:
            self._clients = {
                name: client
                for name, client in self._clients.items()
                if client or client.start > self._virtual_time
            }


def _leave(item: QueuedInput, left: _Lane | None = None) -> None:
    """Remove an input from every lane that it is in, but ``left``, which it is no longer in."""
    for lane in item.lanes:
        if lane is not left:
            lane.remove(item)
    item.lanes.clear()


def _priority(client: _Client) -> tuple[float, int]:
    # Of clients that have had the same, the one that waits for less.
    return client.start, len(client)


def _waiting_since(client: _Client) -> int:
    return client.waiting_since


def _length(item: QueuedInput) -> int:
    return item.length
