"""Which encoders are in memory: loaded when a request needs them, unloaded when idle or for room."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import Context
from pathlib import Path
from typing import Final, Literal

from nestvec.engines.contract import SessionEngine
from nestvec.engines.factory import MemoryLimits
from nestvec.service.batching.turns import turn_paused
from nestvec.service.catalog.instance import EncoderInstance
from nestvec.service.request_context import current_context, deadline_exceeded
from nestvec_schemas.errors import EngineError, EngineUnavailable, NestvecError, ServiceError
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import read_manifest

logger = logging.getLogger(__name__)

UnloadReason = Literal["idle", "memory", "replaced"]

_CHECKS_PER_IDLE: Final = 4
_MAX_CHECK_SECONDS: Final = 10.0


class Residency:
    """Loads and unloads the graphs of instances. Belongs to one event loop."""

    def __init__(
        self,
        engine: SessionEngine | None,
        limits: MemoryLimits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without an engine that opens sessions, every instance is and stays in memory."""
        self.engine, self._limits, self._clock = engine, limits, clock
        self._reserved: list[EncoderInstance] = []
        """Instances whose graphs are in memory, or being loaded."""
        self._freed, self._limits_changed = asyncio.Event(), asyncio.Event()
        self.loads: Counter[str] = Counter()
        """Loads by encoder."""
        self.unloads: Counter[tuple[str, UnloadReason]] = Counter()

    @property
    def used_bytes(self) -> int:
        """Bytes of the graphs in memory."""
        return sum(instance.size for instance in self._reserved)

    def apply(self, limits: MemoryLimits) -> None:
        """Take other limits; what is too much for them and not in use is unloaded."""
        self._limits = limits
        self._make_room()
        self._limits_changed.set()
        self._freed.set()

    def check_limits(self, limits: MemoryLimits, instances: Iterable[EncoderInstance]) -> None:
        """Raise ServiceError for an encoder that the memory budget of ``limits`` can never hold."""
        budget = limits.budget_bytes
        for instance in instances:
            if budget is None or instance.size <= budget:
                continue
            raise ServiceError(
                f"the encoder {instance.name} is larger than the memory budget of {budget} bytes",
                value=instance.size,
                next_step="Raise --memory-budget, or serve others with --encoder.",
            )

    def open_now(self, instance: EncoderInstance) -> bool:
        """Open an instance on the calling thread if the budget has room; False if it has none.

        Raises ServiceError, and what the engine raises.
        """
        self.check_limits(self._limits, [instance])
        if not self._has_room(instance.size):
            instance.resident = False
            return False
        self._open(instance)
        self._opened(instance)
        return True

    async def open_beside(self, instance: EncoderInstance) -> None:
        """Open an instance that replaces another, or is new: verified before any request sees it.

        While the old one answers, both are in memory, if need be beyond the budget. Raises as ``open_now``.
        """
        self.check_limits(self._limits, [instance])
        self._make_room(instance.size)
        await asyncio.to_thread(self._open, instance)
        self._opened(instance)

    def lease(self, instance: EncoderInstance) -> Lease:
        """Keep an instance in memory for the length of the block, loaded first if it is not.

        Raises DeadlineExceeded at the request's deadline, EngineUnavailable if it cannot be loaded.
        """
        return Lease(self, instance)

    def return_lease(self, instance: EncoderInstance) -> None:
        """A request no longer needs an instance."""
        instance.leases -= 1
        instance.used_at = self._clock()
        self._freed.set()

    def unload_idle(self) -> None:
        """Unload the instances that nothing has used for as long as ``idle_seconds``."""
        idle = self._limits.idle_seconds
        if idle is None:
            return
        for instance in list(self._reserved):
            if instance.resident and not instance.in_use and self._clock() - instance.used_at >= idle:
                self._unload(instance, "idle")

    async def watch(self) -> None:
        """Unload idle instances until cancelled."""
        while True:
            self._limits_changed.clear()
            idle = self._limits.idle_seconds
            pause = None if idle is None else min(_MAX_CHECK_SECONDS, idle / _CHECKS_PER_IDLE)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._limits_changed.wait()
            self.unload_idle()

    def retire(self, instance: EncoderInstance) -> None:
        """Release an instance that no request can see any more."""
        instance.released.set()
        if instance.resident and instance in self._reserved:
            self._unload(instance, "replaced")

    async def wait_until_loaded(self, instance: EncoderInstance) -> None:
        """Wait until an instance is loaded. Raises as ``lease``."""
        task = instance.loading
        if task is None:
            # In a context of its own: the load serves every request that waits for it.
            task = asyncio.create_task(self._load(instance), name="nestvec-load", context=Context())
            instance.loading = task
            task.add_done_callback(lambda done: _loaded(instance, done))
        context = current_context()
        seconds = None if context.remaining == float("inf") else context.remaining
        try:
            # Loading takes seconds, in which other requests of the client may be worked on.
            async with turn_paused(), asyncio.timeout(seconds):
                await asyncio.shield(task)
        except TimeoutError:
            raise deadline_exceeded(context, f"the encoder {instance.name} was being loaded") from None

    async def _load(self, instance: EncoderInstance) -> None:
        while not self._make_room(instance.size):
            self._freed.clear()
            await self._freed.wait()
        self._reserved.append(instance)
        try:
            await asyncio.to_thread(self._open, instance)
        except Exception as error:
            self._reserved.remove(instance)
            self._freed.set()
            raise EngineUnavailable(
                f"the encoder {instance.name} could not be loaded again",
                value=str(error),
                next_step="If its files were replaced, reload the service.",
            ) from error
        self._opened(instance)
        if instance.released.is_set():
            self._unload(instance, "replaced")

    def _open(self, instance: EncoderInstance) -> None:
        if self.engine is None or instance.folder is None:
            return
        # Its tokenizer and prompts are those of this manifest, whatever is in the folder by now.
        manifest = instance.own.manifest
        self.engine.open(instance.name, instance.folder, instance.generation, manifest)
        if not _is_on_disk(manifest, instance.folder):
            self.engine.drop(instance.name, instance.generation)
            raise EngineError(
                f"the files of the encoder {instance.name} were replaced while they were read",
                value=instance.folder,
                next_step="Reload the service again.",
            )

    def _opened(self, instance: EncoderInstance) -> None:
        if instance not in self._reserved:
            self._reserved.append(instance)
        instance.resident, instance.used_at = True, self._clock()
        self.loads[instance.name] += 1
        logger.info("encoder %s loaded, %d bytes", instance.name, instance.size)

    def _has_room(self, size: int) -> bool:
        budget = self._limits.budget_bytes
        return budget is None or self.used_bytes + size <= budget

    def _make_room(self, size: int = 0) -> bool:
        """Unload what was not used for longest, until the budget has room; False if all of it is in use."""
        while not self._has_room(size):
            unused = [other for other in self._reserved if other.resident and not other.in_use]
            if not unused:
                return False
            self._unload(min(unused, key=lambda other: other.used_at), "memory")
        return True

    def _unload(self, instance: EncoderInstance, reason: UnloadReason) -> None:
        self._reserved.remove(instance)
        instance.resident = False
        if self.engine is not None:
            self.engine.drop(instance.name, instance.generation)
        self.unloads[instance.name, reason] += 1
        self._freed.set()
        logger.info("encoder %s unloaded: %s", instance.name, reason)


def _is_on_disk(manifest: Manifest, folder: Path) -> bool:
    """Whether a folder is still that of a manifest: graphs that were read from it may be others' if not."""
    try:
        return read_manifest(folder) == manifest
    except NestvecError:
        return False


def _loaded(instance: EncoderInstance, task: asyncio.Task[None]) -> None:
    instance.loading = None
    if not task.cancelled():
        # Retrieved, so that asyncio does not log it if every waiting request has gone away.
        task.exception()


class Lease:
    """The use of an instance by one request."""

    __slots__ = ("_instance", "_residency")

    def __init__(self, residency: Residency, instance: EncoderInstance) -> None:
        self._residency, self._instance = residency, instance

    async def __aenter__(self) -> None:
        instance = self._instance
        instance.leases += 1
        if not instance.resident:
            try:
                await self._residency.wait_until_loaded(instance)
            except BaseException:
                self._residency.return_lease(instance)
                raise

    async def __aexit__(self, *_: object) -> None:
        self._residency.return_lease(self._instance)
