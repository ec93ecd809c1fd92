"""Reading ahead in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from nestvec.ingest.background import Background


def test_items_come_in_order_and_an_error_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise ValueError("the disk is gone")

    with Background(items(), 2) as ahead:
        iterator = iter(ahead)
        assert [next(iterator) for _ in range(5)] == list(range(5))
        with pytest.raises(ValueError, match="the disk is gone"):
            next(iterator)
    with Background(range(5), 2) as ahead:
        assert list(ahead) == list(range(5))


def test_it_reads_at_most_its_depth_ahead_and_ends_with_the_block() -> None:
    produced, third = list[int](), threading.Event()

    def items() -> Iterator[int]:
        for number in range(1000):
            produced.append(number)
            if number == 3:
                third.set()
            yield number

    with Background(items(), 2) as ahead:
        assert next(iter(ahead)) == 0
        # One was taken, two wait, and one is held: the source is read while nobody asks for more.
        assert third.wait(60)
        thread = ahead._thread
    assert not thread.is_alive()
    assert len(produced) <= 5


def test_a_check_ends_the_wait_for_an_item() -> None:
    release = threading.Event()

    class Stop(Exception):
        pass

    def items() -> Iterator[int]:
        release.wait(60)
        yield 1

    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            release.set()
            raise Stop

    with Background(items(), 1, check) as ahead, pytest.raises(Stop):
        next(iter(ahead))
