"""The start and the end of the app, as the server runs them."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def run_lifespan(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Start ``app`` and wait until it is to close.

    A server that ends at once cancels this wait, which is no failure: nothing is logged of it.
    """
    is_cancelled = False

    async def receive_or_end() -> Message:
        nonlocal is_cancelled
        try:
            return await receive()
        except asyncio.CancelledError:
            is_cancelled = True
            raise

    async def send_failure(message: Message) -> None:
        if not is_cancelled:
            await send(message)

    try:
        await app(scope, receive_or_end, send_failure)
    except asyncio.CancelledError:
        if not is_cancelled:
            raise
