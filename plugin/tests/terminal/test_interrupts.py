from __future__ import annotations

import os
import signal

import pytest

from nestvec.terminal.interrupts import reraise_interrupt, stop_on_signal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_interrupts(number: int) -> None:
    before = signal.getsignal(number)
    with stop_on_signal("this batch") as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


class Swallowing:
    """What a signal raises in here, Python drops."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.getpid()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_was_lost_is_raised_again() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), reraise_interrupt() as check:
        check()
        Swallowing()
        check()
    assert signal.getsignal(signal.SIGINT) == before
