"""Writes to Milvus Lite wait for steps that they must not come between, and for nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from nestvec.milvus.lite import _MAX_WAITING, _Writes


def write(writes: _Writes, collection: str, started: threading.Event) -> threading.Thread:
    def run() -> None:
        with writes.write(collection):
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_writes_wait_until_the_step_is_over() -> None:
    writes, started = _Writes(), threading.Event()
    with writes.alone("papers__2"):
        thread = write(writes, "papers", started)
        assert not started.wait(0.2)
    thread.join()
    assert started.is_set()


def test_the_steps_own_writes_do_not_wait() -> None:
    writes, started = _Writes(), threading.Event()
    with writes.alone("papers__2"):
        write(writes, "papers__2", started).join()
    assert started.is_set()


def test_a_step_waits_for_the_writes_that_are_under_way() -> None:
    writes, entered = _Writes(), threading.Event()

    def step() -> None:
        with writes.alone("papers__2"):
            entered.set()

    thread = threading.Thread(target=step)
    with writes.write("papers"):
        thread.start()
        assert not entered.wait(0.2)
    thread.join()
    assert entered.is_set()


def test_the_server_has_threads_left_for_the_step() -> None:
    writes = _Writes()
    events = [threading.Event() for _ in range(_MAX_WAITING + 1)]
    with writes.alone("papers__2"):
        threads = [write(writes, "papers", event) for event in events]
        while not any(event.is_set() for event in events):
            threads[-1].join(0.01)
        assert sum(event.is_set() for event in events) == 1
    for thread in threads:
        thread.join()
    assert all(event.is_set() for event in events)


def test_one_step_at_a_time() -> None:
    writes, entered = _Writes(), threading.Event()

    def step() -> None:
        with writes.alone("notes__1"):
            entered.set()

    thread = threading.Thread(target=step)
    with writes.alone("papers__2"):
        thread.start()
        assert not entered.wait(0.2)
    thread.join()
    assert entered.is_set()


def test_a_step_that_is_interrupted_while_it_waits_holds_nobody_up() -> None:
    class Interrupted(threading.Condition):
        """Ctrl-C while the step waits for the writes that are under way."""

        def wait_for(self, predicate: Callable[[], object], timeout: float | None = None) -> bool:
            if predicate():
                return True
            raise KeyboardInterrupt

    writes = _Writes()
    writes._changed = Interrupted()
    with writes.write("papers"), pytest.raises(KeyboardInterrupt), writes.alone("papers__2"):
        pass
    with writes.alone("notes__1"):
        pass
