"""``/livez``: the process answers; ``/health``: every encoder does, by a probe at most once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from nestvec.engines.contract import Engine
from nestvec.service.api.error_responses import TeiError, error_response
from nestvec_schemas.errors import EngineUnavailable

READY_PATHS: Final = ("/health", "/readyz")
LIVE_PATH: Final = "/livez"

router = APIRouter(tags=["Operation"])

CACHED_SECONDS: Final = 1.0
DEADLINE_SECONDS: Final = 2.0


class Readiness:
    """Probes the engine for each encoder, all at once; concurrent callers share one probe."""

    def __init__(
        self,
        engine: Engine,
        encoders: Callable[[], Iterable[str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``encoders`` tells which encoders the engine must have now."""
        self._engine, self._encoders, self._clock = engine, encoders, clock
        self._probe_task: asyncio.Task[tuple[str, ...]] | None = None
        self._probed_at = 0.0

    async def unready(self) -> tuple[str, ...]:
        """The encoders that do not answer within two seconds, as of at most a second ago."""
        task = self._probe_task
        if task is None or (task.done() and self._clock() - self._probed_at > CACHED_SECONDS):
            task = self._probe_task = asyncio.create_task(self._probe(), name="nestvec-readiness")
        return await asyncio.shield(task)

    async def _probe(self) -> tuple[str, ...]:
        names = sorted(self._encoders())
        answers = await asyncio.gather(*(self._is_ready(name) for name in names))
        self._probed_at = self._clock()
        return tuple(name for name, ready in zip(names, answers, strict=True) if not ready)

    async def _is_ready(self, encoder: str) -> bool:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await self._engine.ready(encoder)
        except TimeoutError:
            return False


async def live(request: Request) -> Response:
    """200 as long as the process answers, whatever its engine does: for liveness probes. Needs no API key."""
    return Response()


async def ready(request: Request) -> Response:
    """200 when every encoder answers, 503 naming those that do not: for readiness probes. Needs no
    API key."""
    readiness: Readiness = request.app.state.readiness
    unready = await readiness.unready()
    if not unready:
        return Response()
    error = EngineUnavailable(
        "the engine does not answer for every encoder",
        value=", ".join(unready),
        next_step="Check that the engine runs and has loaded them; the service's log says more.",
    )
    return error_response(request.url.path, error)


def _add_routes() -> None:
    unready: dict[int | str, dict[str, Any]] = {
        503: {"model": TeiError, "description": "An encoder does not answer."}
    }
    for path in READY_PATHS:
        summary = "Whether every encoder answers"
        router.get(path, response_class=Response, responses=unready, summary=summary)(ready)
        router.head(path, include_in_schema=False)(ready)
    router.get(LIVE_PATH, response_class=Response, summary="Whether the process answers")(live)
    router.head(LIVE_PATH, include_in_schema=False)(live)


_add_routes()
