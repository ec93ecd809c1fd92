"""One encoder's work: what is asked for goes through the engine once, whoever waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nestvec.engines.contract import Engine
from nestvec.service.batching.admission import Admission
from nestvec.service.batching.batch_queue import BatchQueue, QueuedInput
from nestvec.service.batching.cache import CachedEmbedding, EmbeddingCache
from nestvec.service.batching.outputs import OUTPUT_SPECS, check_output
from nestvec.service.observability.observer import BatchRun, Observer
from nestvec.service.preprocess.rows import ModelInput, collate
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import DeadlineExceeded, EngineError, NestvecError
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.towers import Kind

logger = logging.getLogger(__name__)

_MAX_LOGITS_BYTES: Final = 256 << 20
"""What a batch of a sparse encoder may take inside the graph: a float32 for each of its tokens and words."""

_MIN_BATCH_TOKENS: Final = 512


@dataclass(frozen=True)
class CacheKey:
    """Of an input for one encoder: which of its parts answers, the exit (0 for the deepest), how the input is
    cut, and a digest of it."""

    part: str
    exit: int
    cut: str
    digest: bytes


@dataclass(frozen=True)
class PartSpec:
    """Which part of which encoder, what it answers with, and of how many numbers."""

    encoder: str
    part: str
    kind: Kind
    dim: int


class PendingEmbedding(QueuedInput):
    """An input on its way through the engine, and how many requests wait for it."""

    def __init__(self, key: CacheKey, row: ModelInput, future: asyncio.Future[CachedEmbedding]) -> None:
        super().__init__(row, key.exit)
        self.key, self.future = key, future
        self.interested = 0
        self.started = self.ended = self.arrived


class BatchRunner:
    """Works through the pool of one part of an encoder, batch by batch. Lives on one event loop."""

    def __init__(
        self,
        name: PartSpec,
        engine: Engine,
        settings: ServiceSettings,
        admission: Admission,
        observer: Observer,
    ) -> None:
        self._name, self._engine, self._settings = name, engine, settings
        self._admission, self._observer = admission, observer
        self._memory: EmbeddingCache[CacheKey] = EmbeddingCache(
            settings.remember_bytes, settings.remember_seconds
        )
        self._jobs: dict[CacheKey, PendingEmbedding] = {}
        self._pool = BatchQueue(_max_batch_tokens(name, settings.batch_tokens), settings.batch_texts)
        self._wake = asyncio.Event()

    def known(self, key: CacheKey) -> CachedEmbedding | PendingEmbedding | None:
        """A vector that is remembered, or on its way."""
        return self._memory.get(key) or self._jobs.get(key)

    def begin(self, fresh: Mapping[CacheKey, ModelInput], texts: int) -> dict[CacheKey, PendingEmbedding]:
        """Put new work into the pool; ``texts`` is the size of its request. Raises Overloaded."""
        self._admission.queue(sum(row.length for row in fresh.values()))
        loop = asyncio.get_running_loop()
        begun = {key: PendingEmbedding(key, row, loop.create_future()) for key, row in fresh.items()}
        for job in begun.values():
            job.future.add_done_callback(_mark_retrieved)
        self._jobs |= begun
        self._pool.add(list(begun.values()), texts=texts)
        self._observer.queue_changed(self._name.encoder, len(self._pool))
        self._wake.set()
        return begun

    async def collect(
        self, found: Mapping[CacheKey, CachedEmbedding | PendingEmbedding]
    ) -> dict[CacheKey, CachedEmbedding]:
        """Wait for all of them. What no request waits for any more leaves the pool.

        Raises EngineError as the engine did, DeadlineExceeded.
        """
        jobs = [one for one in found.values() if isinstance(one, PendingEmbedding)]
        for job in jobs:
            job.interested += 1
        try:
            async with asyncio.timeout(self._settings.load.deadline_seconds):
                await _all_done(job.future for job in jobs)
        except TimeoutError:
            raise self._too_late(sum(not job.future.done() for job in jobs)) from None
        finally:
            self._leave(jobs)
        return {
            key: one.future.result() if isinstance(one, PendingEmbedding) else one
            for key, one in found.items()
        }

    async def work(self) -> None:
        """Run batches for ever, as many at once as the engine takes."""
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                await self._wake.wait()
                while self._pool:
                    # A place first, a batch then: what is chosen too early keeps a lone query waiting.
                    if len(running) >= self._engine.parallel:
                        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                        continue
                    taken = self._pool.take()
                    self._observer.queue_changed(self._name.encoder, len(self._pool))
                    task = asyncio.create_task(
                        self._run([one for one in taken if isinstance(one, PendingEmbedding)])
                    )
                    running.add(task)
                    task.add_done_callback(running.discard)
                self._wake.clear()
        finally:
            for task in running:
                task.cancel()

    def abandon(self) -> None:
        """Cancel all that waits."""
        for job in list(self._jobs.values()):
            self._forget(job)
            job.future.cancel()

    async def _run(self, batch: Sequence[PendingEmbedding]) -> None:
        started = time.monotonic()
        inputs = collate([job.row for job in batch], batch[0].exit, self._name.part)
        failure: Exception | None = None
        for job in batch:
            job.started = started
        try:
            answers = await self._engine.run(self._name.encoder, inputs)
            check_output(answers, self._name.kind, len(batch), self._name.dim)
        except asyncio.CancelledError:
            for job in batch:
                job.future.cancel()
            raise
        except Exception as error:
            failure = error
            logger.warning("a batch of %d for %s failed: %s", len(batch), self._name.encoder, error)
        else:
            self._deliver(batch, answers)
        finally:
            for job in batch:
                self._forget(job)
        if failure is not None:
            _fail_batch(batch, failure)
        self._note(batch, inputs.padded, started, failed=failure is not None)

    def _deliver(self, batch: Sequence[PendingEmbedding], answers: Array) -> None:
        ended, take = time.monotonic(), OUTPUT_SPECS[self._name.kind].take
        for job, answer in zip(batch, answers, strict=True):
            job.ended = ended
            entry = CachedEmbedding(take(answer), job.row.length, job.row.whole)
            self._memory.put(job.key, entry)
            if not job.future.done():
                job.future.set_result(entry)

    def _note(self, batch: Sequence[PendingEmbedding], padded: int, started: float, *, failed: bool) -> None:
        ran = time.monotonic() - started
        tokens = sum(job.length for job in batch)
        waited = started - min(job.arrived for job in batch)
        self._admission.ran(tokens, ran)
        run = BatchRun(
            self._name.encoder, len(batch), tokens, padded, waited, ran, failed, exit=batch[0].exit
        )
        self._observer.batch_ran(run)

    def _leave(self, jobs: Iterable[PendingEmbedding]) -> None:
        for job in jobs:
            job.interested -= 1
            if not job.interested and not job.future.done() and self._pool.drop(job):
                self._forget(job)
                job.future.cancel()

    def _forget(self, job: PendingEmbedding) -> None:
        if self._jobs.pop(job.key, None) is not None:
            self._admission.leave(job.length)

    def _too_late(self, missing: int) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"the encoder {self._name.encoder} did not embed {missing} of the texts within "
            f"{self._settings.load.deadline_seconds:g} s",
            next_step="Send fewer texts at once, or give the service a faster engine; what was embedded is "
            "remembered for a while.",
        )


def _max_batch_tokens(name: PartSpec, most: int) -> int:
    """Tokens in a batch, padding included: ``most``, or as many as a vocabulary leaves room for."""
    if name.kind != "sparse":
        return most
    return min(most, max(_MIN_BATCH_TOKENS, _MAX_LOGITS_BYTES // (4 * name.dim)))


async def _all_done(futures: Iterable[asyncio.Future[CachedEmbedding]]) -> None:
    """Wait until every future is done, without cancelling any when the waiting is cancelled."""
    pending = [one for one in futures if not one.done()]
    if not pending:
        return
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left = len(pending)

    def one_less(_: asyncio.Future[CachedEmbedding]) -> None:
        nonlocal left
        left -= 1
        if not left and not gate.done():
            gate.set_result(None)

    for future in pending:
        future.add_done_callback(one_less)
    try:
        await gate
    finally:
        for future in pending:
            future.remove_done_callback(one_less)


def _mark_retrieved(done: asyncio.Future[CachedEmbedding]) -> None:
    """Mark an error as seen: every request that waited may have gone away."""
    if not done.cancelled():
        done.exception()


def _fail_batch(batch: Sequence[PendingEmbedding], error: Exception) -> None:
    ours = error if isinstance(error, NestvecError) else None
    told = ours or EngineError("the engine failed", next_step="Look at the service's log.")
    for job in batch:
        if not job.future.done():
            job.future.set_exception(told)
