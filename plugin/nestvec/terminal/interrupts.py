"""Long jobs that end where they can be gone on with."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signal(after: str) -> Iterator[Callable[[], bool]]:
    """Whether to stop, which the first SIGINT or SIGTERM asks for; the second one interrupts at once.

    ``after`` is what is finished before: ``this batch``.
    """
    requested = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        if requested:
            raise KeyboardInterrupt
        requested = True
        sys.stderr.write(f"\nStopping after {after}.\n")

    before = {
        signal_number: signal.signal(signal_number, ask) for signal_number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield lambda: requested
    finally:
        for signal_number, handler in before.items():
            signal.signal(signal_number, handler)


@contextmanager
def reraise_interrupt() -> Iterator[Callable[[], None]]:
    """SIGINT raises KeyboardInterrupt, and what the block gets raises it again where it was lost.

    Python drops an exception that a signal raises inside a destructor or a callback from C: tracing a model
    has many of both, and the job would go on as if nobody had asked.
    """
    requested = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        requested = True
        raise KeyboardInterrupt

    def check() -> None:
        if requested:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
