"""What everything that works for a request needs to know of it: its client, and how long it may take."""

from __future__ import annotations

import math
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from nestvec_schemas.errors import DeadlineExceeded


@dataclass(frozen=True)
class RequestContext:
    """One request. Times are those of ``time.monotonic``, which are also the event loop's."""

    client: str = ""
    """The start of the SHA-256 of the accepted API key, else the peer's address, which share the service
    fairly; "" outside of requests."""
    arrived: float = -math.inf
    """When the first byte of the request arrived."""
    deadline: float = math.inf
    """When its response must be ready: whatever the request waits for ends by then."""

    @property
    def allowed_seconds(self) -> float:
        """The seconds from the first byte to the deadline."""
        return self.deadline - self.arrived

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, negative after it."""
        return self.deadline - time.monotonic()

    def check_deadline(self, stage: str) -> None:
        """Raise DeadlineExceeded after the deadline; ``stage`` completes "the time ended while". For loops
        on threads, which nothing else can stop."""
        if self.remaining < 0:
            raise deadline_exceeded(self, stage)


_OUTSIDE: Final = RequestContext()

_current: ContextVar[RequestContext] = ContextVar("nestvec_request_context", default=_OUTSIDE)


def current_context() -> RequestContext:
    """The context of the request that the caller works for, also on ``asyncio.to_thread``'s threads."""
    return _current.get()


def set_current_context(context: RequestContext) -> None:
    """Make ``context`` that of the current task's request."""
    _current.set(context)


def deadline_exceeded(context: RequestContext, stage: str) -> DeadlineExceeded:
    """The error of a request whose time ended while ``stage``."""
    return DeadlineExceeded(
        f"the request's time ended while {stage}",
        value=f"{context.allowed_seconds:.3g} s",
        next_step="Send the same request again: finished embeddings are kept for a while. Or send fewer "
        "texts at once, or allow more time (deadline=SECONDS in the query string).",
    )
