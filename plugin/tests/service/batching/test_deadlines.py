from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest

from nestvec.service.batching.deadlines import Deadlines, TaskTimeout


class FakeLoop:
    """A loop whose time passes when the test says so."""

    def __init__(self) -> None:
        self.timers: list[FakeTimer] = []

    def call_at(self, when: float, call: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(when, call)
        self.timers.append(timer)
        return timer

    def advance_to(self, now: float) -> None:
        while due := [timer for timer in self.timers if timer.when <= now]:
            first = min(due, key=lambda timer: timer.when)
            self.timers.remove(first)
            if not first.cancelled:
                first.call()


class FakeTimer:
    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when, self.call, self.cancelled = when, call, False

    def cancel(self) -> None:
        self.cancelled = True


class Waiting:
    def __init__(self, name: str, ended: list[str]) -> None:
        self._name, self._ended = name, ended

    def time_out(self) -> None:
        self._ended.append(self._name)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> FakeLoop:
    fake = FakeLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: fake)
    return fake


def waiting(ended: list[str], *names: str) -> dict[str, Any]:
    return {name: Waiting(name, ended) for name in names}


def test_each_ends_at_its_own_deadline(loop: FakeLoop) -> None:
    ended: list[str] = []
    deadlines, by_name = Deadlines(), waiting(ended, "a", "b", "c")
    for name, deadline in (("a", 30.0), ("b", 10.0), ("c", 20.0)):
        deadlines.add(by_name[name], deadline)
    loop.advance_to(9.0)
    assert ended == []
    loop.advance_to(10.0)
    assert ended == ["b"]
    loop.advance_to(25.0)
    assert ended == ["b", "c"]
    loop.advance_to(30.0)
    assert ended == ["b", "c", "a"]
    assert len(deadlines) == 0


def test_what_is_removed_does_not_end(loop: FakeLoop) -> None:
    ended: list[str] = []
    deadlines, by_name = Deadlines(), waiting(ended, "a", "b")
    deadlines.add(by_name["a"], 10.0)
    deadlines.add(by_name["b"], 12.0)
    deadlines.remove(by_name["a"])
    loop.advance_to(11.0)
    assert ended == []
    loop.advance_to(12.0)
    assert ended == ["b"]


def test_many_that_come_and_go_have_one_timer(loop: FakeLoop) -> None:
    deadlines = Deadlines()
    for number in range(1000):
        waits = Waiting(str(number), [])
        deadlines.add(waits, 10.0 + number)
        deadlines.remove(waits)
    assert len(loop.timers) == 1
    loop.advance_to(10.0)
    assert loop.timers == []


def test_a_task_ends_at_its_deadline_and_its_block_says_so() -> None:
    async def main() -> None:
        deadlines = Deadlines()
        with pytest.raises(TimeoutError), TaskTimeout(deadlines, 0.0) as timeout:
            await asyncio.Event().wait()
        assert timeout.expired
        assert not len(deadlines)
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()

    asyncio.run(main())


def test_what_is_in_time_or_stopped_is_not_cancelled() -> None:
    async def main() -> None:
        deadlines, now = Deadlines(), asyncio.get_running_loop().time()
        with TaskTimeout(deadlines, now + 3600) as in_time:
            await asyncio.sleep(0)
        with TaskTimeout(deadlines, now) as stopped:
            stopped.stop()
            await asyncio.sleep(0.01)
        assert not in_time.expired
        assert not stopped.expired
        assert not len(deadlines)

    asyncio.run(main())


def test_a_cancellation_by_somebody_else_goes_on() -> None:
    async def work(deadline: float) -> None:
        with TaskTimeout(Deadlines(), deadline):
            await asyncio.Event().wait()

    async def main(deadline: float) -> None:
        task = asyncio.create_task(work(deadline))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main(math.inf))
    asyncio.run(main(0.0))  # both at once


def test_an_error_of_the_block_is_raised_as_it_is() -> None:
    async def main() -> None:
        with pytest.raises(KeyError), TaskTimeout(Deadlines(), 0.0):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise KeyError from None

    asyncio.run(main())
