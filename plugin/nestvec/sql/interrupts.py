"""What stops a query of DuckDB that runs in another thread, for a server whose client cancels it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Stop = Callable[[], object]

_WATCH: ContextVar[Callable[[Stop], None] | None] = ContextVar("nestvec_interrupts", default=None)


@contextmanager
def watching(watch: Callable[[Stop], None]) -> Iterator[None]:
    """Have ``watch`` called with what stops each query that this thread runs in the block."""
    token = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(token)


def interruptible(stop: Stop) -> None:
    """Say what stops the queries that this thread runs next; nothing if nobody watches."""
    watch = _WATCH.get()
    if watch is not None:
        watch(stop)
