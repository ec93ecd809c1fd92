"""The routes of the playground's files, which are read once and never change."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response

_FILES: Final = Path(__file__).parent / "static"

_PAGE: Final = "/ui"
_MEDIA_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}

_NAMES: Final = {
    _PAGE: "index.html",
    **{f"{_PAGE}/{name}": name for name in ("ui.css", "app.js", "api.js", "render.js", "vectors.js")},
}

UI_PATHS: Final = frozenset(_NAMES)
"""They need no API key: a browser has none to send before the page asks for it, and they hold no data."""

_HEADERS: Final = {
    "content-security-policy": "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            # Images that people drop in are shown as data: addresses.
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            # No text can become markup or a script, whatever the page's code does.
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


def ui_router() -> APIRouter:
    """The routes of all files, which are read now. Raises OSError if the installation lacks one."""
    router = APIRouter(include_in_schema=False)
    for path, name in _NAMES.items():
        router.add_api_route(path, _sender(_FILES / name), methods=["GET", "HEAD"], response_class=Response)
    return router


def _sender(file: Path) -> Callable[[Request], Awaitable[Response]]:
    content = file.read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
    headers = {**_HEADERS, "etag": etag, "content-type": f"{_MEDIA_TYPES[file.suffix]}; charset=utf-8"}

    async def send(request: Request) -> Response:
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={**_HEADERS, "etag": etag})
        return Response(content, headers=headers)

    return send
