"""How long a write waits for a service or a Milvus that is busy, restarts or is gone."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Final, TypeVar

from nestvec.ingest.write.faults import Fault, classify
from nestvec_schemas.errors import NestvecError, ServiceBusy, ServiceUnreachable, StoreUnreachable

T = TypeVar("T")

DEFAULT_RETRY_SECONDS: Final = 3600.0

_FIRST_WAIT_SECONDS: Final = 0.5
_MAX_WAIT_SECONDS: Final = 10.0
_MAX_RETRY_AFTER_SECONDS: Final = 300.0
_STOP_CHECK_SECONDS: Final = 0.2


class StopRequested(Exception):
    """A wait ended because the ingest is to stop."""


@dataclass(frozen=True)
class Waiting:
    """A wait before the next attempt."""

    fault: Fault

    seconds: float
    """Until the next attempt."""

    since: float
    """Seconds since the last success."""

    remaining: float
    """Seconds until the write is given up."""


@dataclass
class Clock:
    """Time, as it passes or as a test lets it pass."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    """A number from 0 to 1: clients that failed together do not return together."""


@dataclass
class Patience:
    """Waits that double, with jitter, until nothing has succeeded for ``seconds``. Threads may share it."""

    seconds: float = DEFAULT_RETRY_SECONDS
    stop: Callable[[], bool] = lambda: False
    waiting: Callable[[Waiting], None] = lambda waiting: None
    """Called before each wait."""

    clock: Clock = field(default_factory=Clock)
    aborted: bool = False
    """Whether every wait ends at once with StopRequested."""

    def __post_init__(self) -> None:
        self._lock = Lock()
        self._since: float | None = None
        self._failures = 0

    def succeeded(self) -> None:
        """Note that a request succeeded."""
        with self._lock:
            self._since, self._failures = None, 0

    def wait(self, fault: Fault, error: NestvecError) -> None:
        """Wait before the request that failed with ``error`` is sent again.

        Raises ServiceUnreachable or StoreUnreachable if nothing succeeded for too long, ``error`` with the
        time if the service was never there, and ``error`` itself if nothing is to be waited for;
        StopRequested.
        """
        if self.seconds <= 0:
            raise error
        now = self.clock.now()
        with self._lock:
            self._since = now if self._since is None else self._since
            since, failures = now - self._since, self._failures
            self._failures += 1
        if since >= self.seconds:
            raise _given_up(fault, error, since) from error
        # The exponent is bounded: 2.0**1100 is no float.
        delay = min(_MAX_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2 ** min(failures, 16))
        delay *= 0.5 + self.clock.jitter() / 2
        if fault.retry_after is not None:
            delay = max(delay, min(fault.retry_after, _MAX_RETRY_AFTER_SECONDS))
        delay = min(delay, self.seconds - since)
        self.waiting(Waiting(fault, delay, since, self.seconds - since))
        self._sleep(now + delay)

    def check(self) -> None:
        """Raise StopRequested if the ingest is to stop."""
        if self.aborted or self.stop():
            raise StopRequested

    def _sleep(self, until: float) -> None:
        while True:
            self.check()
            rest = until - self.clock.now()
            if rest <= 0:
                return
            self.clock.sleep(min(rest, _STOP_CHECK_SECONDS))


def wait_for_service(patience: Patience, use: Callable[[], T]) -> T:
    """The result of ``use``, which is called again for as long as the service that it calls is not there.

    Raises what ``patience.wait`` raises, and other errors of ``use`` at once: also ServiceUnreachable of a
    service that this process would start, but for another encoder in its model repository.
    """
    while True:
        try:
            result = use()
        except (ServiceUnreachable, ServiceBusy) as error:
            fault = classify(error)
            if fault.kind == "lasting":
                raise
            patience.wait(replace(fault, reason=str(error), absent=True), error)
        else:
            patience.succeeded()
            return result


def wait_for_milvus(patience: Patience, use: Callable[[], T], *, resumes: bool = False) -> T:
    """The result of ``use``, which is called again for as long as the Milvus that it calls is not there.

    An address that is wrong, or a Milvus that refuses, is an error at once; but if the work ``resumes``, it
    was right before. Raises what ``patience.wait`` raises, and other errors of ``use`` at once.
    """
    while True:
        try:
            result = use()
        except StoreUnreachable as error:
            if not (resumes or error.may_pass):
                raise
            patience.wait(replace(classify(error), reason=str(error), absent=True), error)
        else:
            patience.succeeded()
            return result


def _given_up(fault: Fault, error: NestvecError, seconds: float) -> NestvecError:
    time_waited = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    if fault.absent:
        return error.reworded(cause=f"after {time_waited} of waiting, {error.cause}")
    lasted = f"for {time_waited}"
    if fault.party == "service":
        return ServiceUnreachable(
            f"the embedding service embedded nothing {lasted}; Milvus did not refuse the rows",
            value=fault.reason,
            next_step="Check that the service runs (nestvec serve) and that Milvus reaches it.",
        )
    return StoreUnreachable(
        f"Milvus took no rows {lasted}",
        value=fault.reason,
        next_step="Check that the Milvus server runs and accepts writes.",
    )
