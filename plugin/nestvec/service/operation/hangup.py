"""SIGHUP: reads keys, options and encoders again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType


class Hangup:
    """Handles SIGHUP for ``nestvec serve``: a reload, or a stop if it is its own terminal that is gone."""

    def __init__(self) -> None:
        self._had_terminal = has_terminal()
        self._reload: Callable[[], None] | None = None
        self._stop: Callable[[int, FrameType | None], None] | None = None
        self._early: int | None = None
        """A signal that came before there was anything to reload."""

    def install(self) -> None:
        """Handle the signal from now on, and the one that was held. Only on the main thread; nothing on
        Windows, or under nohup."""
        hangup = getattr(signal, "SIGHUP", None)
        if hangup is None:
            return
        if signal.getsignal(hangup) is not signal.SIG_IGN:
            signal.signal(hangup, self.handle)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {hangup})

    def attach(self, reload: Callable[[], None], stop: Callable[[int, FrameType | None], None]) -> None:
        """What the signal does; one that came earlier is carried out now."""
        self._reload, self._stop = reload, stop
        if self._early is not None:
            self.handle(self._early, None)

    def handle(self, sig: int, frame: FrameType | None) -> None:
        """The signal's handler."""
        if self._reload is None or self._stop is None:
            self._early = sig
        elif self._had_terminal and not has_terminal():
            self._stop(sig, frame)
        else:
            self._reload()


def hold_hangup() -> None:
    """Have SIGHUP wait for ``Hangup.install``: what the service imports before takes seconds, and the signal
    would end the process meanwhile."""
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {hangup})


def has_terminal() -> bool:
    """Whether the process has a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
