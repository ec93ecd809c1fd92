from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from nestvec.service.operation import hangup
from nestvec.service.operation.hangup import Hangup


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def test_a_signal_reloads_also_one_that_comes_before_the_service_is_ready() -> None:
    calls: list[str] = []
    handler = Hangup()
    handler.install()
    os.kill(os.getpid(), signal.SIGHUP)
    assert calls == []
    handler.attach(lambda: calls.append("reload"), lambda *_: calls.append("stop"))
    assert calls == ["reload"]
    os.kill(os.getpid(), signal.SIGHUP)
    assert calls == ["reload", "reload"]


def test_the_loss_of_its_terminal_stops_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(hangup, "has_terminal", lambda: True)
    handler = Hangup()
    handler.attach(lambda: calls.append("reload"), lambda *_: calls.append("stop"))
    handler.handle(signal.SIGHUP, None)
    monkeypatch.setattr(hangup, "has_terminal", lambda: False)
    handler.handle(signal.SIGHUP, None)
    assert calls == ["reload", "stop"]


def test_under_nohup_the_signal_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Hangup().install()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
