from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from nestvec.engines.fake import FakeEngine
from nestvec.service.engine_watch import watch_engine


class Remote(FakeEngine):
    """Answers as told."""

    def __init__(self, answers: Iterable[bool]) -> None:
        super().__init__({})
        self.replies = iter(answers)

    async def answers(self) -> bool:
        return next(self.replies)


def watch(*answers: bool) -> list[float]:
    """The pauses between the questions."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == len(answers):
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(watch_engine(Remote(answers), "gpu:8001", sleep))  # type: ignore[arg-type]
    return pauses


def test_an_engine_that_is_late(caplog: pytest.LogCaptureFixture) -> None:
    assert watch(False, False, False, True, True) == [1, 2, 4, 5, 5]
    assert caplog.messages == [
        "no Triton answers at gpu:8001; trying again",
        "no Triton answers at gpu:8001; trying again in 2 s",
        "no Triton answers at gpu:8001; trying again in 4 s",
        "Triton at gpu:8001 answers",
    ]


def test_an_engine_that_answers_is_not_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    assert watch(True, True, True) == [5, 5, 5]
    assert caplog.messages == []


def test_an_engine_that_goes_and_never_returns(caplog: pytest.LogCaptureFixture) -> None:
    assert watch(True, *[False] * 8) == [5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert caplog.messages[0] == "no Triton answers at gpu:8001; trying again"
