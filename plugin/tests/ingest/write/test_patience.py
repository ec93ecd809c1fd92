"""Waits: longer and longer, as the service asks, and not for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nestvec.ingest.write.batch_size import BatchSize
from nestvec.ingest.write.faults import Fault
from nestvec.ingest.write.patience import Patience, StopRequested, Waiting, wait_for_service
from nestvec_schemas.errors import NestvecError, ServiceRefused, ServiceUnreachable, StoreUnreachable

BUSY = Fault("transient", "service", "504", fewer_rows=True)
DOWN = Fault("transient", "Milvus", "refused")
ERROR = NestvecError("the request failed", next_step="Try again.")

Made = Callable[..., Any]


def test_waits_double_up_to_ten_seconds_and_start_again_after_a_success(fake_time: Made) -> None:
    time, waits = fake_time(), list[Waiting]()
    patience = Patience(3600, waiting=waits.append, clock=time.clock)
    for _ in range(9):
        patience.wait(BUSY, ERROR)
    assert [waiting.seconds for waiting in waits] == [0.5, 1, 2, 4, 8, 10, 10, 10, 10]
    assert waits[-1].since == sum(waiting.seconds for waiting in waits[:-1])
    assert time.seconds == pytest.approx(sum(waiting.seconds for waiting in waits))
    patience.succeeded()
    patience.wait(BUSY, ERROR)
    assert (waits[-1].seconds, waits[-1].since) == (0.5, 0)


def test_jitter_takes_up_to_half_of_a_wait(fake_time: Made) -> None:
    time, waits = fake_time(), list[Waiting]()
    time.clock.jitter = lambda: 0.0
    Patience(60, waiting=waits.append, clock=time.clock).wait(BUSY, ERROR)
    assert waits[0].seconds == 0.25


def test_the_service_says_how_long(fake_time: Made) -> None:
    time = fake_time()
    patience = Patience(3600, clock=time.clock)
    patience.wait(Fault("transient", "service", "429", retry_after=20), ERROR)
    assert time.seconds == pytest.approx(20)
    patience.wait(Fault("transient", "service", "429", retry_after=1e9), ERROR)
    assert time.seconds == pytest.approx(320)


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (BUSY, ServiceUnreachable, "the embedding service embedded nothing for 60 min"),
        (DOWN, StoreUnreachable, "Milvus took no rows for 60 min"),
    ],
)
def test_after_an_hour_of_nothing_it_says_who_is_gone(
    fake_time: Made, fault: Fault, error: type[NestvecError], said: str
) -> None:
    time = fake_time()
    patience = Patience(3600, clock=time.clock)
    with pytest.raises(error, match=said):
        while True:
            patience.wait(fault, ERROR)
    assert time.seconds == pytest.approx(3600)


def test_without_patience_the_error_itself_is_raised(fake_time: Made) -> None:
    with pytest.raises(NestvecError, match="the request failed"):
        Patience(0, clock=fake_time().clock).wait(BUSY, ERROR)


def test_a_stop_ends_a_wait(fake_time: Made) -> None:
    time = fake_time()
    patience = Patience(3600, stop=lambda: time.seconds > 3, clock=time.clock)
    with pytest.raises(StopRequested):
        patience.wait(Fault("transient", "service", "429", retry_after=200), ERROR)
    assert time.seconds < 4
    patience = Patience(3600, clock=time.clock)
    patience.aborted = True
    with pytest.raises(StopRequested):
        patience.check()


def test_requests_are_halved_and_grow_again() -> None:
    size = BatchSize(256)
    size.failed(256)
    size.failed(100)
    assert size.rows == 50
    for _ in range(4):
        size.succeeded()
    assert size.rows == 100
    for _ in range(40):
        size.succeeded()
    assert size.rows == 256
    for _ in range(20):
        size.failed(1)
    assert size.rows == 1


GONE = ServiceUnreachable("no service answers at http://a:1", value="refused", next_step="Start it.")


def failing(*errors: NestvecError) -> Callable[[], str]:
    """Fails with each of the errors, the last one for ever if there is a second of it."""
    left = list(errors)

    def use() -> str:
        if left:
            raise left.pop(0)
        return "served"

    return use


def test_a_service_that_is_not_there_yet_is_waited_for(fake_time: Made) -> None:
    waits: list[Waiting] = []
    patience = Patience(3600, waiting=waits.append, clock=fake_time().clock)
    assert wait_for_service(patience, failing(GONE, GONE)) == "served"
    assert [waiting.seconds for waiting in waits] == [0.5, 1]
    assert waits[0].fault.absent and waits[0].fault.reason == str(GONE)
    patience.wait(BUSY, ERROR)
    assert waits[-1].seconds == 0.5


def test_an_address_without_a_service_is_named_once_the_patience_is_over(fake_time: Made) -> None:
    time = fake_time()
    with pytest.raises(ServiceUnreachable) as caught:
        wait_for_service(Patience(60, clock=time.clock), failing(*[GONE] * 100))
    said = "after 60 s of waiting, no service answers at http://a:1: refused. Start it."
    assert str(caught.value) == said
    assert time.seconds == pytest.approx(60)
    with pytest.raises(ServiceUnreachable) as at_once:
        wait_for_service(Patience(0), failing(GONE))
    assert at_once.value is GONE


def test_another_error_of_the_service_is_not_waited_for(fake_time: Made) -> None:
    refused = ServiceRefused("another encoder", next_step="Serve the one of before.")
    with pytest.raises(ServiceRefused, match="another encoder"):
        wait_for_service(Patience(60, clock=fake_time().clock), failing(GONE, refused))
