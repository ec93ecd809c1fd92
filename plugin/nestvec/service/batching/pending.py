"""Inputs on their way through the engine, and the requests that wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from nestvec.service.batching.batch_queue import QueuedInput
from nestvec.service.batching.cache import CachedEmbedding, CacheKey
from nestvec.service.batching.deadlines import Deadlines
from nestvec.service.preprocess.inputs import ModelInput
from nestvec_schemas.errors import InputTooLong

T = TypeVar("T")


class PendingEmbedding(QueuedInput):
    """An input on its way through the engine, and how many requests wait for it.

    Not a future: the callbacks of one come a turn of the event loop later, and there are as many as inputs.
    """

    __slots__ = ("_embedding", "_error", "client", "ended", "key", "started", "waiting_requests", "waits")

    def __init__(self, key: CacheKey, model_input: ModelInput, client: str) -> None:
        super().__init__(model_input, key.exit)
        self.key = key
        self.client = client
        """Who asked for it first, whose share of the queue it takes."""
        self.waiting_requests = 0
        self.waits: set[Wait] = set()
        self.started = self.ended = self.arrived
        self._embedding: CachedEmbedding | None = None
        self._error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        """Whether it is embedded, has failed, or was cancelled."""
        return self._embedding is not None or self._error is not None

    def finish(self, embedding: CachedEmbedding) -> None:
        """It is embedded, unless it was given up."""
        if not self.is_done:
            self._embedding = embedding
            self._end_waits()

    def fail(self, error: BaseException) -> None:
        """It will not be embedded, unless it is."""
        if not self.is_done:
            self._error = error
            self._end_waits()

    def cancel(self) -> None:
        """Nobody works on it any more."""
        self.fail(asyncio.CancelledError())

    def result(self) -> CachedEmbedding:
        """Its embedding. Raises what it failed with, CancelledError; RuntimeError before its end."""
        if self._embedding is not None:
            return self._embedding
        raise self._error or RuntimeError("the input is not embedded yet")

    def _end_waits(self) -> None:
        for wait in self.waits:
            wait.count_down()
        self.waits.clear()


class Wait:
    """One request's wait for several embeddings."""

    def __init__(self, pending: Iterable[PendingEmbedding]) -> None:
        self._pending = [entry for entry in pending if not entry.is_done]
        self._remaining = len(self._pending)
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for entry in self._pending:
            entry.waits.add(self)

    def count_down(self) -> None:
        """One of them is ready, or failed."""
        self._remaining -= 1
        if not self._remaining and not self._done.done():
            self._done.set_result(None)

    async def until_done(self, deadlines: Deadlines, deadline: float) -> None:
        """Wait until each is ready or failed, without cancelling any when the waiting is cancelled.

        Raises TimeoutError at ``deadline``, a time of the event loop.
        """
        if not self._remaining:
            return
        if deadline <= asyncio.get_running_loop().time():  # the engine might be quicker than the timer
            self.time_out()
        else:
            deadlines.add(self, deadline)
        try:
            await self._done
        except (asyncio.CancelledError, TimeoutError):
            for entry in self._pending:
                entry.waits.discard(self)
            raise
        finally:
            deadlines.remove(self)

    def time_out(self) -> None:
        """Its deadline is over."""
        if not self._done.done():
            self._done.set_exception(TimeoutError())


def share_keys(
    keys: Sequence[CacheKey], entries: Mapping[CacheKey, T]
) -> tuple[list[CacheKey], dict[CacheKey, T]]:
    """The same keys and entries, with the keys of what is pending as that has them: hundreds of requests that
    wait for the same inputs need the keys once."""
    own = {key: entry.key if isinstance(entry, PendingEmbedding) else key for key, entry in entries.items()}
    return [own[key] for key in keys], {own[key]: entry for key, entry in entries.items()}


def check_lengths(encoder: str, entries: Iterable[CachedEmbedding | PendingEmbedding | ModelInput]) -> None:
    """Raise InputTooLong for the first text that was truncated."""
    for entry in entries:
        if isinstance(entry, CachedEmbedding):
            total, length = entry.total, entry.tokens
        else:
            model_input = entry.model_input if isinstance(entry, PendingEmbedding) else entry
            total, length = model_input.total, model_input.length
        if total > length:
            raise InputTooLong(
                f"a text has more than the {length} tokens that {encoder} takes, and truncation is off",
                value=total,
                next_step="Shorten it, or set truncate to true.",
            )
