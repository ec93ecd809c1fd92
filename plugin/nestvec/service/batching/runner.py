"""Runs the inputs of one part of an encoder through the engine, each once, whoever waits for it."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from nestvec.engines.contract import Batch, BlockingEngine, Engine, StreamingEngine
from nestvec.service.batching.admission import QueueAdmission
from nestvec.service.batching.batch_queue import BatchQueue
from nestvec.service.batching.batch_size import EngineStreams, batch_size, max_batch_tokens
from nestvec.service.batching.cache import CachedEmbedding, CacheKey, EmbeddingCache
from nestvec.service.batching.deadlines import Deadlines
from nestvec.service.batching.ended_batch import BatchStart, EndedBatch
from nestvec.service.batching.engine_threads import EngineThreads, call_in_loop
from nestvec.service.batching.outputs import PartSpec, check_engine_output
from nestvec.service.batching.pending import PendingEmbedding, Wait
from nestvec.service.batching.speed import EngineSpeed
from nestvec.service.observability.observer import Observer
from nestvec.service.preprocess.inputs import ModelInput, collate
from nestvec.service.request_context import current_context
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import DeadlineExceeded, EngineError, NestvecError
from nestvec_schemas.preprocessing.collate import Array

logger = logging.getLogger(__name__)

_MAX_RETRY_SECONDS: Final = 5
"""After a deadline, while what was in the queue is still in it."""

_MEASURE_TOKENS: Final = 1024
_MEASURE_SECONDS: Final = 2.0
"""An input that takes longer is not run again."""


class BatchRunner:
    """Runs the queue of one part of an encoder, batch by batch. Belongs to one event loop.

    With ``threads``, they take the batches and run them on the engine, which must be a BlockingEngine; else
    the event loop does.
    """

    def __init__(
        self,
        spec: PartSpec,
        engine: Engine,
        settings: ServiceSettings,
        observer: Observer,
        threads: EngineThreads | None = None,
    ) -> None:
        self._spec, self._engine, self._settings = spec, engine, settings
        self._observer, self._threads = observer, threads
        self._blocking = engine if threads is not None and isinstance(engine, BlockingEngine) else None
        self._streaming = engine if isinstance(engine, StreamingEngine) else None
        speed = self.speed = EngineSpeed(spec.max_tokens)
        self.admission = QueueAdmission(settings.load, lambda: speed.recent)
        self._cache = EmbeddingCache(settings.cache.max_bytes, settings.cache.seconds)
        self._pending: dict[CacheKey, PendingEmbedding] = {}
        self._deadlines = Deadlines()
        self._queue = BatchQueue(max_batch_tokens(spec, settings.batches.tokens), settings.batches.texts)
        self._lock = threading.Lock()
        """Held while the queue is changed or read, and what follows it here."""
        self._unreported: deque[EndedBatch] = deque()
        self._is_running = False
        self._scheduled = 0
        """How many threads are to take a batch, or run one."""
        self._running = 0
        """Batches in the engine."""
        self._wake = asyncio.Event()
        """Set for the event loop to look at the queue, where there are no threads."""

    @property
    def is_busy(self) -> bool:
        """Whether an input waits for the engine, or is in it."""
        return bool(self._pending)

    def apply(self, settings: ServiceSettings) -> None:
        """Take other limits of the queue and the cache; batches stay as they are."""
        self._settings = replace(settings, batches=self._settings.batches)
        self.admission.apply(settings.load)
        self._cache.apply(settings.cache.max_bytes, settings.cache.seconds)

    def find(self, key: CacheKey) -> CachedEmbedding | PendingEmbedding | None:
        """The embedding that is cached or pending under ``key``."""
        if self._unreported:  # observers hear of everything in its order
            self._report_ended()
        return self._cache.get(key) or self._pending.get(key)

    def submit(
        self, inputs: Mapping[CacheKey, ModelInput], request_size: int
    ) -> dict[CacheKey, PendingEmbedding]:
        """Queue new inputs; ``request_size`` is the number of inputs of their request.

        Raises Overloaded, BodyTooLarge.
        """
        client = current_context().client
        self.admission.add_tokens(client, sum([model_input.length for model_input in inputs.values()]))
        submitted = {key: PendingEmbedding(key, model_input, client) for key, model_input in inputs.items()}
        self._pending |= submitted
        with self._lock:
            self._queue.add(list(submitted.values()), request_size=request_size, client=client)
            self._observer.queue_changed(self._spec.encoder, len(self._queue))
        self._look_at_queue()
        return submitted

    def share(self, pending: PendingEmbedding, request_size: int) -> None:
        """Another request, of ``request_size`` inputs in all, waits for a pending embedding too."""
        with self._lock:
            self._queue.share(pending, request_size=request_size, client=current_context().client)

    def collect(
        self, entries: Mapping[CacheKey, CachedEmbedding | PendingEmbedding]
    ) -> Coroutine[Any, Any, dict[CacheKey, CachedEmbedding]]:
        """Wait for all of them, until the deadline of the current request.

        The request counts as one that waits from the call on: the coroutine may start after others that wait
        have gone away.

        Inputs that no request waits for any more leave the queue: at once if their client is gone, after a
        while if the time was over, as it may ask again. Raises EngineError as the engine did,
        DeadlineExceeded.
        """
        waited_for = [entry for entry in entries.values() if isinstance(entry, PendingEmbedding)]
        for pending in waited_for:
            pending.waiting_requests += 1
        return self._collect(entries, waited_for)

    async def _collect(
        self,
        entries: Mapping[CacheKey, CachedEmbedding | PendingEmbedding],
        waited_for: Sequence[PendingEmbedding],
    ) -> dict[CacheKey, CachedEmbedding]:
        if waited_for:
            await self._until_ready(waited_for)
        return {
            key: entry.result() if isinstance(entry, PendingEmbedding) else entry
            for key, entry in entries.items()
        }

    async def _until_ready(self, waited_for: Sequence[PendingEmbedding]) -> None:
        loop = asyncio.get_running_loop()
        try:
            await Wait(waited_for).until_done(self._deadlines, self._deadline(loop.time()))
        except TimeoutError:
            loop.call_later(self._settings.load.keep_queued_seconds, self._give_up, waited_for)
            raise self._deadline_exceeded(sum(not pending.is_done for pending in waited_for)) from None
        except asyncio.CancelledError:
            self._give_up(waited_for)
            raise

    async def run(self) -> None:
        """Run batches until cancelled, as many at once as the engine takes."""
        if self._threads is None:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._engine.parallel):
                    group.create_task(self._run_batches())
            return
        self._loop, self._is_running = asyncio.get_running_loop(), True
        self._look_at_queue()
        try:
            await self._loop.create_future()
        finally:
            self._is_running = False

    def _look_at_queue(self) -> None:
        """Have the queue looked at by whoever has room for a batch."""
        if self._threads is None:
            self._wake.set()
            return
        with self._lock:
            count = self._threads.count if self._streaming is None else self._streams
            if not (self._is_running and self._queue) or self._scheduled >= min(count, self._threads.count):
                return
            self._scheduled += 1
        self._threads.add(self._run_next)

    async def _run_batches(self) -> None:
        while True:
            while not self._queue:
                self._wake.clear()
                await self._wake.wait()
            batch = self._take()
            start = self._start(batch, alone=self._running == 1 and not self._queue)
            try:
                self._end(await self._run_in_loop(start))
            finally:
                self._running -= 1

    def _take(self) -> list[PendingEmbedding]:
        """The next batch; chosen only once the engine has room for it: until then, a short request could
        still arrive and go first."""
        with self._lock:
            if not self._queue:
                return []
            streams = EngineStreams(self._streams, self._queue.tokens, is_idle=not self._running)
            size = batch_size(self.speed, is_shared=self._queue.is_shared, streams=streams)
            items = self._queue.take(size)
            self._running += 1
            self._observer.queue_changed(self._spec.encoder, len(self._queue))
        return [item for item in items if isinstance(item, PendingEmbedding)]

    def _run_next(self) -> None:
        """Take a batch and run it, on one of the threads."""
        more, batch = False, list[PendingEmbedding]()
        try:
            batch = self._take() if self._is_running else []
            if batch:
                self._look_at_queue()  # another thread may take what is left
                alone = self._threads is None or self._threads.is_idle_but_one
                ended = self._run_on_thread(self._start(batch, alone=alone))
                call_in_loop(self._loop, lambda: self._end(ended))
            more = True
        finally:
            with self._lock:
                self._running -= bool(batch)
                more = more and self._is_running and bool(self._queue)
                self._scheduled -= not more
        if more and self._threads is not None:
            # Behind what other encoders have to run.
            self._threads.add(self._run_next)

    async def measure(self, model_input: ModelInput) -> None:
        """Run copies of a long input, beside no other batch than the engine takes at once, and record how
        fast they were. Raises EngineError."""
        seconds = await self._time([model_input])
        count = 1
        if seconds < _MEASURE_SECONDS:
            count = max(2, -(-_MEASURE_TOKENS // model_input.length))
            seconds = await self._time([model_input] * count)
        else:  # slow: as if it had been a full batch
            count, seconds = count * _MEASURE_TOKENS, seconds * _MEASURE_TOKENS
        self.speed.record(count, count * model_input.length, seconds)

    async def _time(self, inputs: Sequence[ModelInput]) -> float:
        batch = collate(inputs, 0, self._spec.part, self._spec.generation)
        if self._threads is not None:
            return await self._threads.run(lambda: self._time_on_thread(batch))
        started = time.monotonic()
        await self._engine.run(self._spec.encoder, batch)
        return time.monotonic() - started

    def _time_on_thread(self, batch: Batch) -> float:
        started = time.monotonic()
        self._run_blocking(batch)
        return time.monotonic() - started

    def _run_blocking(self, batch: Batch) -> Array:
        if self._blocking is None:
            raise TypeError("the engine does not run batches on threads of the service")
        return self._blocking.run_now(self._spec.encoder, batch)

    def cancel_all(self) -> None:
        """Cancel everything that waits."""
        for pending in list(self._pending.values()):
            self._forget(pending)
            pending.cancel()

    @property
    def _streams(self) -> int:
        return 1 if self._streaming is None else self._streaming.streams(self._spec.encoder)

    def _start(self, batch: Sequence[PendingEmbedding], *, alone: bool) -> BatchStart:
        return BatchStart.now(batch, 1 if alone else self._streams)

    async def _run_in_loop(self, start: BatchStart) -> EndedBatch:
        padded = 0
        try:
            inputs = self._collate(start)
            padded = inputs.padded
            output = await self._engine.run(self._spec.encoder, inputs)
            return start.ended(padded, self._embeddings(start.batch, output))
        except asyncio.CancelledError:
            for pending in start.batch:
                self._forget(pending)
                pending.cancel()
            raise
        except Exception as error:
            return start.ended(padded, failure=error)

    def _run_on_thread(self, start: BatchStart) -> EndedBatch:
        padded = 0
        try:
            inputs = self._collate(start)
            padded = inputs.padded
            output = self._run_blocking(inputs)
            return start.ended(padded, self._embeddings(start.batch, output))
        except Exception as error:
            return start.ended(padded, failure=error)

    def _collate(self, start: BatchStart) -> Batch:
        inputs = [pending.model_input for pending in start.batch]
        batch = collate(inputs, start.batch[0].exit, self._spec.part, self._spec.generation)
        return batch if start.streams == 1 else replace(batch, alone=False)

    def _embeddings(self, batch: Sequence[PendingEmbedding], output: Array) -> list[CachedEmbedding]:
        """An embedding for each input of a batch. Raises EngineError for another output than expected."""
        spec = self._spec.output
        check_engine_output(output, spec, len(batch), self._spec.dim)
        return [
            CachedEmbedding(spec.extract(row), pending.model_input.length, pending.model_input.total)
            for pending, row in zip(batch, output, strict=True)
        ]

    def _end(self, ended: EndedBatch) -> None:
        """Hand out what became of a batch."""
        batch, failure = ended.start.batch, ended.failure
        if failure is not None:
            logger.warning("a batch of %d texts for %s failed: %s", len(batch), self._spec.encoder, failure)
            if not isinstance(failure, NestvecError):
                failure = EngineError("the engine failed", next_step="See the service's log.")
        for place, pending in enumerate(batch):
            pending.ended = ended.start.started + ended.seconds
            self._forget(pending)
            if failure is not None:
                pending.fail(failure)
            else:
                self._cache.put(pending.key, ended.embeddings[place])
                pending.finish(ended.embeddings[place])
        # After the requests that wait for it have gone on: their clients wait too.
        self._unreported.append(ended)
        asyncio.get_running_loop().call_soon(self._report_ended)

    def _report_ended(self) -> None:
        while self._unreported:
            self._report(self._unreported.popleft())

    def _report(self, ended: EndedBatch) -> None:
        run = ended.report(self._spec.encoder)
        if not run.failed:
            self.speed.record(run.texts, run.tokens, ended.engine_seconds)
        try:
            self._observer.batch_finished(run)
        except Exception:
            logger.exception("a batch of %d texts for %s was not reported", run.texts, run.encoder)

    def _give_up(self, waited_for: Iterable[PendingEmbedding]) -> None:
        """A request no longer waits: what nobody else waits for leaves the queue."""
        for pending in waited_for:
            pending.waiting_requests -= 1
            if pending.waiting_requests or pending.is_done:
                continue
            with self._lock:
                dropped = self._queue.drop(pending)
            if dropped:
                self._forget(pending)
                pending.cancel()

    def _forget(self, pending: PendingEmbedding) -> None:
        if self._pending.pop(pending.key, None) is not None:
            self.admission.remove_tokens(pending.client, pending.length)

    def _deadline(self, now: float) -> float:
        """When the current request must be answered; outside of requests, what the settings allow."""
        deadline = current_context().deadline
        return deadline if deadline < math.inf else now + self._settings.load.deadline_seconds

    def _deadline_exceeded(self, missing: int) -> DeadlineExceeded:
        context = current_context()
        seconds = min(context.allowed_seconds, self._settings.load.max_deadline_seconds)
        if context.deadline == math.inf:
            seconds = self._settings.load.deadline_seconds
        error = DeadlineExceeded(
            f"the encoder {self._spec.encoder} did not embed {missing} of the texts within {seconds:.3g} s",
            next_step="Send the same request again, as the service goes on for a while and remembers "
            "finished embeddings; or send fewer texts at once, or give the service a faster engine.",
        )
        error.retry_after = min(_MAX_RETRY_SECONDS, self.admission.retry_after)
        return error
