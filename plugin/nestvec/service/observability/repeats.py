"""Bounds a log: of records with one cause, at most one is written a second, and the rest are counted."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

_SECONDS: Final = 1.0
_MAX_CAUSES: Final = 256
"""Causes that are remembered at a time; beyond it, the oldest is forgotten."""

_NUMBERS: Final = re.compile(r"0x[0-9a-f]+|\d+")

_MAX_MESSAGES: Final = 5
"""Messages of one kind, with different values in them, that are written a second."""

_Kind = tuple[str, int, str, str]
_Cause = tuple[_Kind, str]


class RepeatFilter(logging.Filter):
    """A filter of a handler, for warnings and errors.

    Records have one cause if they have the logger, the level, the message (numbers aside) and the type of
    exception in common. Of messages that differ only in the values put into them, five are written a second.
    The next record of a cause says how many were left out before it; if there is none within a second, a
    record of its own says so.
    """

    def __init__(self, handler: logging.Handler, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._handler, self._clock = handler, clock
        self._lock = threading.Lock()
        self._causes: dict[_Cause, _Repeats] = {}
        self._written: Counter[_Kind] = Counter()
        self._counted_from = -_SECONDS
        self._timer: threading.Timer | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; it is extended by the number of those that were left out."""
        if record.levelno < logging.WARNING or hasattr(record, "repeats"):
            return True
        (kind, message), now = _cause_of(record), self._clock()
        with self._lock:
            if now - self._counted_from >= _SECONDS:
                self._written.clear()
                self._counted_from = now
            cause = (kind, message if self._written[kind] < _MAX_MESSAGES else "")
            repeats = self._causes.get((kind, message)) or self._causes.get(cause)
            if repeats is not None and now - repeats.written_at < _SECONDS:
                repeats.left_out += 1
                repeats.last = record
                self._schedule()
                return False
            self._causes.pop(cause, None)
            if len(self._causes) >= _MAX_CAUSES:
                del self._causes[next(iter(self._causes))]
            self._causes[cause] = _Repeats(now)
            self._written[kind] += 1
        if repeats is not None and repeats.left_out:
            _add_count(record, repeats.left_out)
        return True

    def flush(self) -> None:
        """Write how many records were left out, for every cause."""
        with self._lock:
            self._timer = None
            waiting = [repeats for repeats in self._causes.values() if repeats.left_out]
            records = []
            for repeats in waiting:
                if repeats.last is not None:
                    records.append(_summary(repeats.last, repeats.left_out))
                repeats.left_out, repeats.last, repeats.written_at = 0, None, self._clock()
        for record in records:
            self._handler.handle(record)

    def _schedule(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(_SECONDS, self.flush)
            self._timer.daemon = True
            self._timer.start()


class _Repeats:
    def __init__(self, written_at: float) -> None:
        self.written_at = written_at
        self.left_out = 0
        self.last: logging.LogRecord | None = None


def _cause_of(record: logging.LogRecord) -> _Cause:
    exception = record.exc_info[0] if record.exc_info else None
    kind = (record.name, record.levelno, _normalised(record.msg), exception.__name__ if exception else "")
    return kind, _normalised(record.getMessage())


def _normalised(message: object) -> str:
    return _NUMBERS.sub("#", str(message)[:500])


def _summary(record: logging.LogRecord, count: int) -> logging.LogRecord:
    """The last record that was left out, without its traceback, and the number of them."""
    fields = {**record.__dict__, "exc_info": None, "exc_text": None, "stack_info": None}
    summary = logging.makeLogRecord(fields)
    _add_count(summary, count)
    return summary


def _add_count(record: logging.LogRecord, count: int) -> None:
    record.msg, record.args = f"{record.getMessage()} ({count} more like it were left out)", None
    record.repeats = count
