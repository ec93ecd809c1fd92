"""Headers that go with a call to an engine elsewhere, so that its work is seen in the caller's trace."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar

outgoing_headers: ContextVar[Mapping[str, str] | None] = ContextVar("nestvec_outgoing_headers", default=None)
"""Set by whoever traces, around a call of ``Engine.run``."""


def current_headers() -> dict[str, str]:
    """``traceparent`` (and ``tracestate``) of the call being made; empty without tracing."""
    return dict(outgoing_headers.get() or {})
