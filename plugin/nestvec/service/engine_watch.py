"""Says in the log when an engine in another process does not answer, and when it does again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from nestvec.engines.contract import RemoteEngine

logger = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 1.0
_MAX_PAUSE: Final = 30.0
_CHECK_SECONDS: Final = 5.0


async def watch_engine(
    engine: RemoteEngine, address: str, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> None:
    """Ask the engine at ``address`` whether it answers until cancelled: every 5 s while it does, else after
    1, 2, 4, … 30 s."""
    while True:
        pause, failures = _FIRST_PAUSE, 0
        while not await engine.answers():
            failures += 1
            again = "" if failures == 1 else f" in {pause:g} s"
            logger.warning("no Triton answers at %s; trying again%s", address, again)
            await sleep(pause)
            pause = min(_MAX_PAUSE, pause * 2)
        if failures:
            logger.warning("Triton at %s answers", address)
        await sleep(_CHECK_SECONDS)
