"""How much work a service has accepted, and when it refuses a client more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nestvec.service.batching.unread import UnreadBytes
from nestvec.service.settings import LoadLimits
from nestvec_schemas.errors import BodyTooLarge, Overloaded

_MAX_RETRY_SECONDS: Final = 30


class ClientShares:
    """A limited amount of something, of which each client may hold a part of what the others leave.

    With half, a client alone holds half at most, two hold a third each, and there is always room for another
    (Choudhury and Hahne 1998, Dynamic queue length thresholds). The process itself, client "", may hold all.
    """

    def __init__(self, limit: int, part: float = 0.5) -> None:
        self.limit, self.part = limit, part
        self.total = 0
        self._amounts: dict[str, int] = {}

    def amount_of(self, client: str) -> int:
        """What a client holds."""
        return self._amounts.get(client, 0)

    def share(self, client: str) -> int:
        """What a client may hold now, including what it holds."""
        free = self.limit - (self.total - self._amounts.get(client, 0))
        return free if not client else min(free, max(1, int(free * self.part)))

    @property
    def max_share(self) -> int:
        """What a client may hold while nobody else holds anything."""
        return max(1, int(self.limit * self.part))

    def take(self, client: str, amount: int) -> bool:
        """Hold ``amount`` more for a client; False if that is more than its share."""
        amount_now = self._amounts.get(client, 0) + amount
        if amount_now > self.share(client):
            return False
        self._amounts[client] = amount_now
        self.total += amount
        return True

    def give_back(self, client: str, amount: int) -> None:
        """A client no longer holds ``amount``."""
        self.total -= amount
        amount_now = self._amounts.get(client, 0) - amount
        if amount_now > 0:
            self._amounts[client] = amount_now
        else:
            self._amounts.pop(client, None)


class RequestAdmission:
    """Counts requests in flight, and refuses a client more than its share. Belongs to one event loop."""

    def __init__(self, limits: LoadLimits) -> None:
        self.shares = ClientShares(limits.requests, limits.client_share)
        self.unread = UnreadBytes()

    def apply(self, limits: LoadLimits) -> None:
        """Take other limits; requests that have a place keep it."""
        self.shares.limit, self.shares.part = limits.requests, limits.client_share

    def request(self, client: str) -> RequestPlace:
        """A place for one request, for the length of the block. Raises Overloaded."""
        return RequestPlace(self.shares, client)


class RequestPlace:
    """The place of a request in flight."""

    __slots__ = ("_client", "_shares")

    def __init__(self, shares: ClientShares, client: str) -> None:
        self._shares, self._client = shares, client

    def __enter__(self) -> None:
        if not self._shares.take(self._client, 1):
            raise refusal("requests in flight", self._shares, self._client, 1)

    def __exit__(self, *_: object) -> None:
        self._shares.give_back(self._client, 1)


class QueueAdmission:
    """Counts tokens that wait for an engine, and refuses a client more than its share before memory grows.

    Belongs to one event loop.
    """

    def __init__(self, limits: LoadLimits, tokens_per_second: Callable[[], float | None]) -> None:
        """``tokens_per_second`` tells the engine's recent speed, None before the first batch."""
        self._tokens_per_second = tokens_per_second
        self.shares = ClientShares(limits.queue_tokens, limits.client_share)

    def apply(self, limits: LoadLimits) -> None:
        """Take other limits; tokens that wait remain in the queue."""
        self.shares.limit, self.shares.part = limits.queue_tokens, limits.client_share

    def add_tokens(self, client: str, tokens: int) -> None:
        """Accept ``tokens`` of a client into the queue.

        Raises Overloaded; BodyTooLarge if no client may have as many waiting.
        """
        self.check_size(client, tokens)
        if not self.shares.take(client, tokens):
            raise refusal("tokens waiting", self.shares, client, self.retry_after)

    def check_size(self, client: str, tokens: int) -> None:
        """Raise BodyTooLarge for a request of ``tokens`` tokens that would be refused at any time."""
        max_tokens = self.shares.max_share if client else self.shares.limit
        if tokens > max_tokens:
            raise BodyTooLarge(
                f"the texts of the request have more tokens than the {max_tokens} of a client that may wait",
                value=tokens,
                next_step="Send fewer texts in one request.",
            )

    def remove_tokens(self, client: str, tokens: int) -> None:
        """``tokens`` of a client no longer wait: they were embedded, failed, or were given up."""
        self.shares.give_back(client, tokens)

    @property
    def retry_after(self) -> int:
        """Seconds until the waiting tokens are embedded at the engine's recent rate, from 1 to 30."""
        speed = self._tokens_per_second()
        return min(_MAX_RETRY_SECONDS, max(1, round(self.shares.total / speed if speed else 1)))


def refusal(what: str, shares: ClientShares, client: str, retry_after: int) -> Overloaded:
    """The error of a client that would hold more than its share."""
    own = f", {shares.amount_of(client)} of them this client's" if client else ""
    error = Overloaded(
        "the service is at capacity",
        value=f"{shares.total} {what}{own}",
        next_step=f"Try again in {retry_after} s, or send less at once.",
    )
    error.retry_after = retry_after
    return error
