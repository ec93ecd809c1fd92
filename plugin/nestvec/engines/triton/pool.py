"""Several Triton servers: which one takes a batch, what happens to one that fails, and when it is back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextvars import Context
from functools import partial
from typing import Any, Final

from nestvec.engines.contract import Batch
from nestvec.engines.triton.addresses import Resolver
from nestvec.engines.triton.failures import CallFailure, error_of_all
from nestvec.engines.triton.hedging import HedgeDelays
from nestvec.engines.triton.server import Canary, Graph, TritonServer
from nestvec_schemas.errors import EngineError, EngineUnavailable
from nestvec_schemas.vectors import Vectors

logger = logging.getLogger(__name__)

_WATCH_SECONDS: Final = 1.0
_RESOLVE_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.25
"""How often a late call looks for a server that could take it."""
_MAX_RETRIES: Final = 2
"""Of a batch that a server failed on after it was sent: one that crashes servers must not crash them all."""


class ServerPool:
    """The servers of one engine. Belongs to the event loop of its first call."""

    def __init__(self, resolver: Resolver, watch_seconds: float = _WATCH_SECONDS) -> None:
        self._resolver, self._watch_seconds = resolver, watch_seconds
        self.servers = {target: TritonServer(target) for target in resolver.targets}
        """By address."""
        self.hedges: Counter[str] = Counter()
        """``won`` by the second server, or ``lost``."""
        self.loaded: set[str] = set()
        """Models that the servers were asked to load; one that comes back is asked again."""
        self._canaries: dict[str, Canary] = {}
        self._delays = HedgeDelays()
        self._leaving: list[TritonServer] = []
        self._superseded: set[asyncio.Task[Vectors]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._resolved_at = time.monotonic()

    def forget(self, model: str) -> None:
        """Try the model with no earlier input: its graph may have changed."""
        self._canaries.pop(model, None)

    async def infer(self, graph: Graph, batch: Batch, seconds: float) -> Vectors:
        """The output of a graph for at most MAX_BATCH_SIZE inputs, by the server with the least work.

        Another server is tried at once where that fails, and beside it where it is late. Raises EngineError.
        """
        self._start_watching()
        end = time.monotonic() + seconds
        self._delays.call_started()
        first = next(iter(self.servers.values()))
        if len(self.servers) == 1 and not first.stale_models:
            try:
                vectors = await first.infer(graph, batch, seconds)
            except CallFailure as failure:
                raise failure.error from failure
        else:
            vectors = await _Race(self, graph, batch, end).run()
        if graph.model not in self._canaries:
            arrays = {name: array[:1].copy() for name, array in batch.arrays.items()}
            single = Batch(arrays, batch.exit, batch.part, generation=batch.generation)
            self._canaries[graph.model] = Canary(graph, single)
        return vectors

    def next_server(self, model: str, excluded: Sequence[TritonServer]) -> TritonServer | None:
        """The server with the least work that was not tried yet, those that are up first."""
        left = [
            server
            for server in self.servers.values()
            if server not in excluded and model not in server.stale_models
        ]
        return min(
            left,
            key=lambda server: (not server.serves(model), server.work, sum(server.outcomes.values())),
            default=None,
        )

    async def is_ready(self, models: Sequence[str]) -> bool:
        """Whether any server answers for all of these models. Never raises."""
        self._start_watching()
        checks = [self._check(server, models) for server in self.servers.values()]
        return await _any(checks)

    async def is_live(self) -> bool:
        """Whether any server answers at all. Never raises."""
        self._start_watching()
        return await _any([server.is_live() for server in self.servers.values()])

    async def load(self, model: str) -> None:
        """Have every server that answers load a model as it is on its disk now.

        Those that do not, while others do, get no batches of it until they have: they may hold earlier files.
        Raises EngineError if any that answers fails.
        """
        self.forget(model)
        results = await self._ask_all(partial(TritonServer.load, model=model))
        done = [server for server, error in results.items() if error is None]
        if done:
            for server in self.servers.values():
                if server not in done:
                    server.stale_models.add(model)
        _raise_first(results.values())
        self.loaded.add(model)

    async def unload(self, model: str) -> None:
        """Have every server that answers release a model. Raises EngineError if any of them fails."""
        self.loaded.discard(model)
        self.forget(model)
        for server in self.servers.values():
            server.stale_models.discard(model)
        _raise_first((await self._ask_all(partial(TritonServer.unload, model=model))).values())

    async def _ask_all(
        self, act: Callable[[TritonServer], Coroutine[Any, Any, None]]
    ) -> dict[TritonServer, BaseException | None]:
        """Do the same with every server that answers; returns what each of these raised."""
        servers = list(self.servers.values())
        live = await asyncio.gather(*(server.is_live() for server in servers))
        reached = [server for server, is_live in zip(servers, live, strict=True) if is_live] or servers
        errors = await asyncio.gather(*(act(server) for server in reached), return_exceptions=True)
        return dict(zip(reached, errors, strict=True))

    async def close(self) -> None:
        """Close every connection."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        for task in self._superseded:
            task.cancel()  # the call itself goes on
        await asyncio.gather(*self._superseded, return_exceptions=True)
        await asyncio.gather(*(server.close() for server in (*self.servers.values(), *self._leaving)))

    def leave_running(self, calls: Iterable[asyncio.Task[Vectors]]) -> None:
        """Wait no longer for calls, and do not cancel them: each ends when answered, or past its deadline.

        How each ends tells whether its server is well. Only those past their deadline count as given up.
        """
        for task in calls:
            self._superseded.add(task)
            task.add_done_callback(self._forget_superseded)

    def _forget_superseded(self, task: asyncio.Task[Vectors]) -> None:
        self._superseded.discard(task)
        if not task.cancelled():
            task.exception()  # noted by the server already

    def answered(self, graph: Graph, batch: Batch, seconds: float) -> None:
        """A call was answered after ``seconds``."""
        self._delays.call_answered(graph.model, batch.padded, seconds)

    @property
    def delays(self) -> HedgeDelays:
        """When a second server is asked."""
        return self._delays

    def take_out(self, server: TritonServer, model: str, reason: str) -> None:
        """Send a server no more batches of a model until it answers a probe with one."""
        server.down_models.add(model)
        logger.warning("Triton at %s gets no more batches of %s: %s", server.address, model, reason)

    def _start_watching(self) -> None:
        if self._watching is None:
            # In a context of its own, not that of a request.
            self._watching = asyncio.create_task(
                self._watch(), name="nestvec-triton-watch", context=Context()
            )

    async def _watch(self) -> None:
        """Look again at what is down, and at what names resolve to, until cancelled."""
        while True:
            await asyncio.sleep(self._watch_seconds)
            try:
                await self._look_again()
            except Exception:
                logger.exception("Triton servers could not be checked; the next check is in a second")

    async def _look_again(self) -> None:
        if self._resolver.has_names and time.monotonic() - self._resolved_at > _RESOLVE_SECONDS:
            await self._resolver.refresh()
            self._resolved_at = time.monotonic()
            await self._apply(self._resolver.targets)
        down = [server for server in self.servers.values() if server.is_down]
        await asyncio.gather(*(self._load_again(server) for server in down))
        await asyncio.gather(*(self._check(server, sorted(server.down_models)) for server in down))

    async def _check(self, server: TritonServer, models: Sequence[str]) -> bool:
        """Whether a server answers for all of these models, or at all without models."""
        was_down = server.is_down
        if models:
            is_ready = await server.is_ready(models, self._canaries)
        else:
            is_ready = server.is_up = await server.is_live()
        if was_down and not server.is_down and len(self.servers) > 1:
            logger.warning("Triton at %s gets batches again", server.address)
        return is_ready and server.stale_models.isdisjoint(models)

    async def _load_again(self, server: TritonServer) -> None:
        """Load what the others were asked to load into a server that was restarted."""
        models = self.loaded | server.stale_models
        if not models or not await server.is_live():
            return
        for model in sorted(models):
            try:
                if model in server.stale_models or not await server.has(model):
                    await server.load(model)
            except EngineError as error:
                logger.warning("%s", error)

    async def _apply(self, targets: Sequence[str]) -> None:
        """Take up new addresses, and leave those that are gone once their calls have ended."""
        for target in targets:
            if target not in self.servers:
                self.servers[target] = server = TritonServer(target)
                server.is_up = False  # until a probe has reached it
                logger.warning("Triton at %s is new", target)
        for target in set(self.servers) - set(targets):
            self._leaving.append(self.servers.pop(target))
            logger.warning("Triton at %s is gone from the name", target)
        for server in [server for server in self._leaving if not (server.in_flight or server.abandoned)]:
            self._leaving.remove(server)
            await server.close()


class _Race:
    """One batch, on one server after another, and on two at once where the first is late."""

    def __init__(self, pool: ServerPool, graph: Graph, batch: Batch, end: float) -> None:
        self._pool, self._graph, self._batch, self._end = pool, graph, batch, end
        self._running: dict[asyncio.Task[Vectors], TritonServer] = {}
        self._started: dict[TritonServer, float] = {}
        self._failures: list[CallFailure] = []
        self._retries = 0
        self._hedge: TritonServer | None = None

    async def run(self) -> Vectors:
        """The first output. Raises EngineError."""
        delay = self._pool.delays.delay(self._graph.model, self._batch.padded)
        overdue = self._pool.delays.overdue(delay)
        if self._start_next() is None:
            raise EngineUnavailable(
                f"no Triton has loaded {self._graph.model} as it is now",
                value=", ".join(self._pool.servers),
                next_step="See their logs; each is asked every second to load it.",
            )
        wait: float | None = delay
        try:
            while self._running:
                done, _ = await asyncio.wait(self._running, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    wait = self._when_late(overdue)
                for task in done:
                    server = self._running.pop(task)
                    if task.exception() is None:
                        self._note_winner(server, overdue)
                        return task.result()
                    self._note_failure(task)
        finally:
            self._pool.leave_running(self._running)
        raise error_of_all(self._graph.model, self._failures) from self._failures[-1]

    def _start_next(self) -> TritonServer | None:
        server = self._pool.next_server(self._graph.model, list(self._started))
        left = self._end - time.monotonic()
        if server is None or left <= 0:
            return None
        self._started[server] = time.monotonic()
        self._running[asyncio.create_task(server.infer(self._graph, self._batch, left))] = server
        return server

    def _when_late(self, overdue: float) -> float | None:
        """Ask a second server, if there is one and a hedge may be sent; returns how long to wait then."""
        (server,) = list(self._running.values())[:1]
        elapsed = time.monotonic() - self._started[server]
        is_silent = server.last_answer < self._started[server]
        candidate = self._pool.next_server(self._graph.model, list(self._started))
        if candidate is None or not candidate.serves(self._graph.model):
            return _POLL_SECONDS
        if (is_silent and elapsed >= overdue) or self._pool.delays.take():
            self._hedge = self._start_next()
            return None
        return _POLL_SECONDS

    def _note_winner(self, server: TritonServer, overdue: float) -> None:
        now = time.monotonic()
        self._pool.answered(self._graph, self._batch, now - self._started[server])
        if self._hedge is None:
            return
        self._pool.hedges["won" if server is self._hedge else "lost"] += 1
        for loser in self._running.values():
            began = self._started[loser]
            if loser.last_answer < began and now - began >= overdue and loser.serves(self._graph.model):
                self._pool.take_out(loser, self._graph.model, f"nothing answered in {now - began:.1f} s")

    def _note_failure(self, task: asyncio.Task[Vectors]) -> None:
        failure = task.exception()
        if not isinstance(failure, CallFailure):
            raise failure or RuntimeError
        self._failures.append(failure)
        if self._running:
            return
        if failure.kind == "invalid":
            raise failure.error from failure
        if failure.kind not in ("unsent", "unserved"):
            self._retries += 1
        if self._retries <= _MAX_RETRIES:
            self._start_next()


def _raise_first(errors: Iterable[BaseException | None]) -> None:
    for error in errors:
        if error is not None:
            raise error


async def _any(checks: Sequence[Coroutine[Any, Any, bool]]) -> bool:
    """Whether any is true, as soon as that is certain."""
    tasks = [asyncio.create_task(check) for check in checks]
    try:
        for next_done in asyncio.as_completed(tasks):
            if await next_done:
                return True
        return False
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
