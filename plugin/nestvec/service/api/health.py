"""Whether every encoder answers, asked of the engine at most once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from fastapi import Request, Response

from nestvec.engines.contract import Engine
from nestvec.service.api.error_responses import error_response
from nestvec_schemas.errors import EngineUnavailable

CACHED_SECONDS = 1.0
DEADLINE_SECONDS = 2.0


class Readiness:
    """Asks the engine for each encoder, all at once; many callers at a time share one asking."""

    def __init__(
        self, engine: Engine, encoders: Iterable[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine, self._encoders, self._clock = engine, sorted(encoders), clock
        self._asking: asyncio.Task[tuple[str, ...]] | None = None
        self._asked = 0.0

    async def silent(self) -> tuple[str, ...]:
        """The encoders that do not answer within two seconds, as known for at most a second."""
        if self._asking is None or (self._asking.done() and self._clock() - self._asked > CACHED_SECONDS):
            self._asking = asyncio.create_task(self._ask(), name="nestvec-readiness")
        return await asyncio.shield(self._asking)

    async def _ask(self) -> tuple[str, ...]:
        answers = await asyncio.gather(*(self._answers(name) for name in self._encoders))
        self._asked = self._clock()
        return tuple(name for name, answers_it in zip(self._encoders, answers, strict=True) if not answers_it)

    async def _answers(self, encoder: str) -> bool:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await self._engine.ready(encoder)
        except TimeoutError:
            return False


async def health(request: Request) -> Response:
    """200 when every encoder answers; else 503, naming those that do not."""
    readiness: Readiness = request.app.state.readiness
    silent = await readiness.silent()
    if not silent:
        return Response()
    error = EngineUnavailable(
        "the engine does not answer for every encoder",
        value=", ".join(silent),
        next_step="See that the engine runs and holds them; the service's log has more.",
    )
    return error_response(request.url.path, error)
