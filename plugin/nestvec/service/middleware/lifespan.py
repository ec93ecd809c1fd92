"""The start and the end of the app, as the server runs them."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def run_lifespan(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Start ``app``, wait until it is to close, and close it.

    A server that ends at once cancels this, which is no failure: nothing is logged of it.
    """
    task = asyncio.current_task()

    def is_cancelled() -> bool:
        return task is not None and task.cancelling() > 0

    async def send_failure(message: Message) -> None:
        if not is_cancelled():
            await send(message)

    try:
        await app(scope, receive, send_failure)
    except asyncio.CancelledError:
        if not is_cancelled():
            raise
