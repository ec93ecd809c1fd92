"""How much work a service has accepted, and when it refuses more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nestvec.service.settings import LoadLimits
from nestvec_schemas.errors import Overloaded

_MAX_RETRY_SECONDS: Final = 30

_SMOOTHING: Final = 0.2
"""Weight of the newest batch in the running average of tokens per second."""


class Admission:
    """Counts requests in flight and tokens that wait, and refuses more before memory grows.

    Belongs to one event loop.
    """

    def __init__(self, limits: LoadLimits) -> None:
        self._limits = limits
        self.requests = self.tokens = 0
        self._tokens_per_second = 0.0

    @contextmanager
    def request(self) -> Iterator[None]:
        """A place for one request, for the length of the block. Raises Overloaded."""
        if self.requests >= self._limits.requests:
            raise self._refusal("requests", self.requests)
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    def add_tokens(self, tokens: int) -> None:
        """Accept ``tokens`` into the queue. Raises Overloaded.

        A request larger than the whole queue is accepted when nothing waits.
        """
        if self.tokens and self.tokens + tokens > self._limits.queue_tokens:
            raise self._refusal("tokens", self.tokens)
        self.tokens += tokens

    def remove_tokens(self, tokens: int) -> None:
        """``tokens`` no longer wait: they were embedded, failed, or were given up."""
        self.tokens -= tokens

    def record_batch(self, tokens: int, seconds: float) -> None:
        """Record how fast the engine ran a batch, for ``retry_after``."""
        rate = tokens / max(seconds, 1e-6)
        average = self._tokens_per_second
        self._tokens_per_second = rate if not average else (1 - _SMOOTHING) * average + _SMOOTHING * rate

    @property
    def retry_after(self) -> int:
        """Seconds until the waiting tokens are embedded at the engine's recent rate, from 1 to 30."""
        seconds = self.tokens / self._tokens_per_second if self._tokens_per_second else 1
        return min(_MAX_RETRY_SECONDS, max(1, round(seconds)))

    def _refusal(self, unit: str, waiting: int) -> Overloaded:
        error = Overloaded(
            "the service is at capacity",
            value=f"{waiting} {unit} waiting",
            next_step=f"Try again in {self.retry_after} s, or send less at once.",
        )
        error.retry_after = self.retry_after
        return error
