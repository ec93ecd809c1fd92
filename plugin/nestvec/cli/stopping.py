"""Long jobs that end where they can be gone on with."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stopping(after: str) -> Iterator[Callable[[], bool]]:
    """Whether to stop, which the first SIGINT or SIGTERM asks for; the second one interrupts at once.

    ``after`` is what is finished before: ``this batch``.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        sys.stderr.write(f"\nStopping after {after}.\n")

    before = {one: signal.signal(one, ask) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def interrupting() -> Iterator[Callable[[], None]]:
    """SIGINT raises KeyboardInterrupt, and what the block gets raises it again where it was lost.

    Python drops an exception that a signal raises inside a destructor or a callback from C: tracing a model
    has many of both, and the job would go on as if nobody had asked.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
