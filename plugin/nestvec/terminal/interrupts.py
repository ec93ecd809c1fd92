"""Interrupts of long jobs, which stop where they can resume."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signal(after: str) -> Iterator[Callable[[], bool]]:
    """Whether to stop: the first SIGINT or SIGTERM requests it, and the second one interrupts at once.

    ``after`` names what is finished first, such as ``this batch``.
    """
    requested = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        if requested:
            raise KeyboardInterrupt
        requested = True
        sys.stderr.write(f"\nStopping after {after}.\n")

    before = {
        signal_number: signal.signal(signal_number, handle)
        for signal_number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield lambda: requested
    finally:
        for signal_number, handler in before.items():
            signal.signal(signal_number, handler)


@contextmanager
def reraise_interrupt() -> Iterator[Callable[[], None]]:
    """SIGINT raises KeyboardInterrupt, and the block's function raises it again if it was lost.

    Python drops an exception that a signal handler raises inside a destructor or a callback from C. Tracing
    a model has many of both, and the job would continue.
    """
    requested = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        requested = True
        raise KeyboardInterrupt

    def check() -> None:
        if requested:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
