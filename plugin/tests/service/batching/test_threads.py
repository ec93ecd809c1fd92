from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from contextvars import ContextVar
from functools import partial

import pytest

from nestvec.service import server
from nestvec.service.batching.threads import ClientThreads, WorkThread, switch_threads_often

number: ContextVar[int] = ContextVar("number", default=0)


def test_work_is_done_one_after_the_other_in_the_context_of_its_caller() -> None:
    at_work, most = 0, 0

    def work() -> int:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        threading.Event().wait(0.001)
        at_work -= 1
        return number.get()

    async def main() -> list[int]:
        thread = WorkThread("test")

        async def call(value: int) -> int:
            number.set(value)
            return await thread.run(work)

        return list(await asyncio.gather(*map(call, range(8))))

    assert asyncio.run(main()) == list(range(8))
    assert most == 1


def test_work_of_a_caller_that_is_gone_is_not_done() -> None:
    async def main() -> list[str]:
        thread, gate, done = WorkThread("test"), threading.Event(), list[str]()
        first = asyncio.create_task(thread.run(gate.wait))
        second = asyncio.create_task(thread.run(lambda: done.append("second")))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        gate.set()
        await first
        await thread.run(lambda: done.append("third"))
        return done

    assert asyncio.run(main()) == ["third"]


class Body:
    """Something that a weak reference can watch."""


def test_data_of_work_that_fails_is_freed_without_the_garbage_collector() -> None:
    def read(body: Body) -> None:
        raise ValueError("not JSON")

    async def main() -> bool:
        threads, body = ClientThreads("test"), Body()
        watched = weakref.ref(body)
        work = partial(read, body)
        del body
        try:
            await threads.run("client", work)
        except ValueError:
            del work
        # The thread lets go of its last piece of work when it takes another.
        await threads.run("client", lambda: None)
        await threads.run("other", lambda: None)
        return watched() is None

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(main())
    finally:
        gc.enable()


def test_a_service_has_its_threads_hand_the_lock_over_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(Exception):
        pass

    class FakeServer:
        def handle_exit(self, *_: object) -> None: ...

        def run(self, **_: object) -> None:
            raise Stopped

    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("gc.freeze", lambda: None)
    before, thresholds = sys.getswitchinterval(), gc.get_threshold()
    try:
        with pytest.raises(Stopped):
            server.serve(FakeServer(), None)  # type: ignore[arg-type]
        assert sys.getswitchinterval() == pytest.approx(0.001)
        assert gc.get_threshold()[0] == 10_000
        sys.setswitchinterval(0.0005)
        switch_threads_often()
        assert sys.getswitchinterval() == pytest.approx(0.0005)
    finally:
        sys.setswitchinterval(before)
        gc.set_threshold(*thresholds)


def test_a_client_has_one_of_two_threads() -> None:
    async def main() -> None:
        threads, release, log = ClientThreads("test"), threading.Event(), list[str]()

        def hold() -> None:
            log.append("held")
            release.wait(120)

        first = asyncio.create_task(threads.run("a", hold))
        second = asyncio.create_task(threads.run("a", lambda: log.append("second")))
        gone = asyncio.create_task(threads.run("a", lambda: log.append("gone")))
        async with asyncio.timeout(120):
            while not log:
                await asyncio.sleep(0.001)
            await threads.run("b", lambda: log.append("other"))
            gone.cancel()
            first.cancel()
            await asyncio.gather(first, gone, return_exceptions=True)
            await threads.run("b", lambda: log.append("other again"))
            assert log == ["held", "other", "other again"], "a thread whose caller is gone still works"
            release.set()
            await second
            while threads._waiting:
                await asyncio.sleep(0.001)
        assert log == ["held", "other", "other again", "second"]

    asyncio.run(main())
