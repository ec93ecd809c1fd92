"""Lets each request see one version of the encoders from its first look until its response is sent."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from nestvec.service.catalog.catalog import EncoderCatalog


class CatalogPinMiddleware:
    """Pins the catalog for each request: a reload between two of its steps does not mix two encoders."""

    def __init__(self, app: ASGIApp, catalog: EncoderCatalog) -> None:
        self._app, self._catalog = app, catalog

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/admin/"):
            # An operator's request sees what it changes.
            await self._app(scope, receive, send)
            return
        with self._catalog.pinned():
            await self._app(scope, receive, send)
