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
