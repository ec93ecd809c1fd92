"""How much a service has taken on, and when it takes no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nestvec.service.settings import LoadLimits
from nestvec_schemas.errors import Overloaded

_MAX_RETRY_SECONDS = 30
_SMOOTHING = 0.2
"""Weight of the newest batch in the running rate of tokens a second."""


class Admission:
    """Requests in flight and tokens that wait; refuses before memory grows. One event loop's."""

    def __init__(self, load: LoadLimits) -> None:
        self._load = load
        self.requests = self.tokens = 0
        self._rate = 0.0

    @contextmanager
    def request(self) -> Iterator[None]:
        """A place for one request, for the length of the block. Raises Overloaded."""
        if self.requests >= self._load.requests:
            raise self._refusal("requests", self.requests)
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    def queue(self, tokens: int) -> None:
        """Take on ``tokens``; a request larger than the whole queue is taken when nothing waits."""
        if self.tokens and self.tokens + tokens > self._load.queue_tokens:
            raise self._refusal("tokens", self.tokens)
        self.tokens += tokens

    def leave(self, tokens: int) -> None:
        """So many tokens wait no more: run, failed or given up."""
        self.tokens -= tokens

    def ran(self, tokens: int, seconds: float) -> None:
        """A batch has passed the engine: how fast it is tells a refused client when to come back."""
        rate = tokens / max(seconds, 1e-6)
        self._rate = rate if not self._rate else (1 - _SMOOTHING) * self._rate + _SMOOTHING * rate

    @property
    def retry_after(self) -> int:
        """Seconds until what waits now has been run, at the engine's recent rate: from 1 to 30."""
        seconds = self.tokens / self._rate if self._rate else 1
        return min(_MAX_RETRY_SECONDS, max(1, round(seconds)))

    def _refusal(self, of: str, waiting: int) -> Overloaded:
        error = Overloaded(
            "the embedding service has as much to do as it takes",
            value=f"{waiting} {of} waiting",
            next_step=f"Try again in {self.retry_after} s, or send less at once.",
        )
        error.retry_after = self.retry_after
        return error
