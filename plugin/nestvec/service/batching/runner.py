"""Runs the inputs of one part of an encoder through the engine, each once, whoever waits for it."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from nestvec.engines.contract import Engine
from nestvec.service.batching.admission import QueueAdmission
from nestvec.service.batching.batch_queue import BatchQueue, QueuedInput
from nestvec.service.batching.cache import CachedEmbedding, CacheKey, EmbeddingCache
from nestvec.service.batching.outputs import OUTPUT_SPECS, PACKED, OutputSpec, check_engine_output
from nestvec.service.batching.speed import EngineSpeed
from nestvec.service.observability.observer import BatchRun, Observer
from nestvec.service.preprocess.inputs import ModelInput, collate
from nestvec.service.request_context import current_context
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import DeadlineExceeded, EngineError, NestvecError
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.towers import OutputKind

logger = logging.getLogger(__name__)

_MAX_LOGITS_BYTES: Final = 256 << 20
"""Memory of a sparse encoder's batch inside the graph: a float32 for each of its tokens and words."""

_MIN_BATCH_TOKENS: Final = 512

_MAX_RETRY_SECONDS: Final = 5
"""After a deadline, while what was in the queue is still in it."""

_MEASURE_TOKENS: Final = 1024
_MEASURE_SECONDS: Final = 2.0
"""An input that takes longer is not run again."""

_BATCH_SECONDS: Final = 0.1
_MIN_FULL_TOKENS: Final = 1024
"""A CPU is as fast with batches of this size as with larger ones; a GPU does more than that in the time."""

_SHARED_BATCH_SECONDS: Final = 0.03
_MIN_SHARED_TOKENS: Final = 256
"""The same while several clients use the encoder, also for queries: those wait for less, and a CPU is up to a
seventh slower."""

_FREE_SECONDS: Final = 0.01
"""What of the engine's time other clients' queries may add to the batch of a query."""


@dataclass(frozen=True)
class PartSpec:
    """One part of an encoder, and what it outputs."""

    encoder: str
    part: str
    kind: OutputKind
    dim: int
    """Length of the last axis of the engine's array."""
    max_tokens: int
    """Of one input."""
    packed: bool = False
    """Whether several outputs of one pass are in that array."""
    generation: int = 0
    """Which opening of the encoder the engine is to run."""

    @property
    def output(self) -> OutputSpec:
        """How the engine's array is read."""
        return PACKED if self.packed else OUTPUT_SPECS[self.kind]


class PendingEmbedding(QueuedInput):
    """An input on its way through the engine, and how many requests wait for it."""

    __slots__ = ("client", "ended", "future", "key", "started", "waiting_requests", "waits")

    def __init__(
        self, key: CacheKey, model_input: ModelInput, future: asyncio.Future[CachedEmbedding], client: str
    ) -> None:
        super().__init__(model_input, key.exit)
        self.key, self.future = key, future
        self.client = client
        """Who asked for it first, whose share of the queue it takes."""
        self.waiting_requests = 0
        self.waits: set[_Wait] = set()
        self.started = self.ended = self.arrived
        future.add_done_callback(self._end_waits)

    def _end_waits(self, future: asyncio.Future[CachedEmbedding]) -> None:
        if not future.cancelled():
            future.exception()  # retrieved: asyncio would log it if every waiting request has gone away
        for wait in self.waits:
            wait.count_down()
        self.waits.clear()


class _Wait:
    """One request's wait for several embeddings.

    Each has its waits in a set: the callbacks of a future are a list, and a thousand requests for the same
    texts whose client goes away would search it a thousand times for each text.
    """

    def __init__(self, pending: Iterable[PendingEmbedding]) -> None:
        self._pending = [entry for entry in pending if not entry.future.done()]
        self._remaining = len(self._pending)
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for entry in self._pending:
            entry.waits.add(self)

    def count_down(self) -> None:
        """One of them is ready, or failed."""
        self._remaining -= 1
        if not self._remaining and not self._done.done():
            self._done.set_result(None)

    async def until_done(self) -> None:
        """Wait until each is ready or failed, without cancelling any when the waiting is cancelled."""
        if not self._remaining:
            return
        try:
            await self._done
        except asyncio.CancelledError:
            for entry in self._pending:
                entry.waits.discard(self)
            raise


class BatchRunner:
    """Runs the queue of one part of an encoder, batch by batch. Belongs to one event loop."""

    def __init__(
        self,
        spec: PartSpec,
        engine: Engine,
        settings: ServiceSettings,
        observer: Observer,
    ) -> None:
        self._spec, self._engine, self._settings = spec, engine, settings
        self._observer = observer
        speed = self.speed = EngineSpeed(spec.max_tokens)
        self.admission = QueueAdmission(settings.load, lambda: speed.recent)
        self._cache = EmbeddingCache(settings.cache.max_bytes, settings.cache.seconds)
        self._pending: dict[CacheKey, PendingEmbedding] = {}
        self._queue = BatchQueue(_max_batch_tokens(spec, settings.batches.tokens), settings.batches.texts)
        self._wake = asyncio.Event()

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
        return self._cache.get(key) or self._pending.get(key)

    def submit(
        self, inputs: Mapping[CacheKey, ModelInput], request_size: int
    ) -> dict[CacheKey, PendingEmbedding]:
        """Queue new inputs; ``request_size`` is the number of inputs of their request.

        Raises Overloaded, BodyTooLarge.
        """
        client = current_context().client
        self.admission.add_tokens(client, sum(model_input.length for model_input in inputs.values()))
        loop = asyncio.get_running_loop()
        submitted = {
            key: PendingEmbedding(key, model_input, loop.create_future(), client)
            for key, model_input in inputs.items()
        }
        self._pending |= submitted
        self._queue.add(list(submitted.values()), request_size=request_size, client=client)
        self._observer.queue_changed(self._spec.encoder, len(self._queue))
        self._wake.set()
        return submitted

    def share(self, pending: PendingEmbedding, request_size: int) -> None:
        """Another request, of ``request_size`` inputs in all, waits for a pending embedding too."""
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
            key: entry.future.result() if isinstance(entry, PendingEmbedding) else entry
            for key, entry in entries.items()
        }

    async def _until_ready(self, waited_for: Sequence[PendingEmbedding]) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(self._deadline(loop.time())):
                await _Wait(waited_for).until_done()
        except TimeoutError:
            loop.call_later(self._settings.load.keep_queued_seconds, self._give_up, waited_for)
            raise self._deadline_exceeded(sum(not pending.future.done() for pending in waited_for)) from None
        except asyncio.CancelledError:
            self._give_up(waited_for)
            raise

    async def run(self) -> None:
        """Run batches until cancelled, as many at once as the engine takes."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._engine.parallel):
                group.create_task(self._run_batches())

    async def _run_batches(self) -> None:
        while True:
            while not self._queue:
                self._wake.clear()
                await self._wake.wait()
            # Chosen only now that the engine has room for it: until then, a short request could still arrive
            # and go first.
            items = self._queue.take(*self._batch_tokens())
            batch = [item for item in items if isinstance(item, PendingEmbedding)]
            self._observer.queue_changed(self._spec.encoder, len(self._queue))
            try:
                await self._run_batch(batch)
            except Exception:  # all requests to come would wait in vain
                logger.exception(
                    "a batch of %d texts for %s was not reported", len(batch), self._spec.encoder
                )

    async def measure(self, model_input: ModelInput) -> None:
        """Run copies of a long input, and record how fast they were. Raises EngineError."""
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
        started = time.monotonic()
        await self._engine.run(self._spec.encoder, batch)
        return time.monotonic() - started

    def _batch_tokens(self) -> tuple[int, int | None]:
        """The free and the most tokens of the next batch, by the engine's speed.

        A query waits for the batch before it: on a slow engine it is shorter, where that costs no speed.
        """
        free, speed = int((self.speed.recent or 0) * _FREE_SECONDS), self.speed.tokens_per_second
        if speed is None:
            return free, None
        if self._queue.is_shared:
            return free, max(_MIN_SHARED_TOKENS, int(speed * _SHARED_BATCH_SECONDS))
        return free, max(_MIN_FULL_TOKENS, int(speed * _BATCH_SECONDS))

    def cancel_all(self) -> None:
        """Cancel everything that waits."""
        for pending in list(self._pending.values()):
            self._forget(pending)
            pending.future.cancel()

    async def _run_batch(self, batch: Sequence[PendingEmbedding]) -> None:
        started = time.monotonic()
        model_inputs = [pending.model_input for pending in batch]
        failure: Exception | None = None
        padded = sum(pending.length for pending in batch)
        for pending in batch:
            pending.started = started
        try:
            inputs = collate(model_inputs, batch[0].exit, self._spec.part, self._spec.generation)
            padded = inputs.padded
            output = await self._engine.run(self._spec.encoder, inputs)
            check_engine_output(output, self._spec.output, len(batch), self._spec.dim)
            self._deliver(batch, output)
        except asyncio.CancelledError:
            for pending in batch:
                pending.future.cancel()
            raise
        except Exception as error:
            failure = error
            logger.warning("a batch of %d texts for %s failed: %s", len(batch), self._spec.encoder, error)
        finally:
            for pending in batch:
                self._forget(pending)
        if failure is not None:
            _fail(batch, failure)
        self._report(batch, padded, started, failed=failure is not None)

    def _deliver(self, batch: Sequence[PendingEmbedding], output: Array) -> None:
        ended, extract = time.monotonic(), self._spec.output.extract
        for pending, row in zip(batch, output, strict=True):
            pending.ended = ended
            model_input = pending.model_input
            embedding = CachedEmbedding(extract(row), model_input.length, model_input.total)
            self._cache.put(pending.key, embedding)
            if not pending.future.done():
                pending.future.set_result(embedding)

    def _report(
        self, batch: Sequence[PendingEmbedding], padded: int, started: float, *, failed: bool
    ) -> None:
        seconds = time.monotonic() - started
        tokens = sum(pending.length for pending in batch)
        if not failed:
            self.speed.record(len(batch), tokens, seconds)
        self._observer.batch_finished(
            BatchRun(
                encoder=self._spec.encoder,
                texts=len(batch),
                tokens=tokens,
                padded=padded,
                queue_seconds=started - min(pending.arrived for pending in batch),
                inference_seconds=seconds,
                failed=failed,
                exit=batch[0].exit,
            )
        )

    def _give_up(self, waited_for: Iterable[PendingEmbedding]) -> None:
        """A request no longer waits: what nobody else waits for leaves the queue."""
        for pending in waited_for:
            pending.waiting_requests -= 1
            if not pending.waiting_requests and not pending.future.done() and self._queue.drop(pending):
                self._forget(pending)
                pending.future.cancel()

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


def _max_batch_tokens(spec: PartSpec, max_tokens: int) -> int:
    """Tokens of a batch, padding included: ``max_tokens``, or fewer for a large vocabulary."""
    if spec.kind != "sparse":
        return max_tokens
    return min(max_tokens, max(_MIN_BATCH_TOKENS, _MAX_LOGITS_BYTES // (4 * spec.dim)))


def _fail(batch: Sequence[PendingEmbedding], error: Exception) -> None:
    if not isinstance(error, NestvecError):
        error = EngineError("the engine failed", next_step="See the service's log.")
    for pending in batch:
        if not pending.future.done():
            pending.future.set_exception(error)
