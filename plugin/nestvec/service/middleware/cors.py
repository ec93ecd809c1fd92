"""Which pages may call the service from a browser, and what they may read of its responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

EXPOSED_HEADERS: Final = (
    "x-request-id",
    "retry-after",
    "x-compute-tokens",
    "x-compute-characters",
    "x-total-time",
    "x-queue-time",
    "x-inference-time",
    "x-nestvec-truncated",
    "x-nestvec-chunked",
    "x-nestvec-failed",
    "x-nestvec-fingerprint",
)
"""Response headers that a page of an allowed origin may read."""

_PREFLIGHT_SECONDS: Final = 600
"""How long a browser may keep the answer to a preflight request."""


class CorsMiddleware(CORSMiddleware):
    """Lets pages of ``origins`` call the service, with any header, an API key among them.

    No cookies: the service has none.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=("*",),
            expose_headers=EXPOSED_HEADERS,
            max_age=_PREFLIGHT_SECONDS,
        )
