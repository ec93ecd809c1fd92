"""Headers sent with a call to a remote engine, so that its work appears in the caller's trace."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar

outgoing_headers: ContextVar[Mapping[str, str] | None] = ContextVar("nestvec_outgoing_headers", default=None)
"""Set by the tracing code around a call of ``Engine.run``."""


def current_headers() -> dict[str, str]:
    """``traceparent`` (and ``tracestate``) of the current call; empty without tracing."""
    return dict(outgoing_headers.get() or {})
