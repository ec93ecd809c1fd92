"""Run an iterator in a thread, so that what it produces next is ready when it is needed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

T = TypeVar("T")

_POLL_SECONDS: Final = 0.1
_JOIN_SECONDS: Final = 5.0


class Background(Generic[T]):
    """Iterates over what a thread reads ahead, at most ``depth`` items. An error is raised in its place.

    ``check`` is called while it waits for an item, and may raise. At the end of the ``with`` block the
    thread ends after its present item.
    """

    def __init__(self, items: Iterable[T], depth: int, check: Callable[[], None] = lambda: None) -> None:
        self._items, self._check = items, check
        self._queue: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(depth)
        self._closed = threading.Event()
        # A daemon: a second interrupt does not wait for a request of this thread.
        self._thread = threading.Thread(target=self._read, name="nestvec-read-ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join(_JOIN_SECONDS)

    def __iter__(self) -> Iterator[T]:
        while True:
            self._check()
            try:
                item, error = self._queue.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if isinstance(error, _End):
                return
            if error is not None:
                raise error
            yield item

    def _read(self) -> None:
        try:
            for item in self._items:
                if not self._put(item, None):
                    return
        except BaseException as error:
            self._put(None, error)
        else:
            self._put(None, _End())

    def _put(self, item: Any, error: BaseException | None) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put((item, error), timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False


class _End(BaseException):
    """Marks the end of the items."""
