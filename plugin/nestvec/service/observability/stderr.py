"""Has everything that is written to standard error go through the log, also by libraries in C and C++."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final

logger = logging.getLogger("stderr")

_MAX_LINE_BYTES: Final = 8192

_COLORS: Final = re.compile(r"\x1b\[[0-9;]*m")
_SEVERITY: Final = re.compile(r"\[([VIWEF]):")
"""How ONNX Runtime marks its lines."""

_LEVELS: Final = {"V": logging.DEBUG, "I": logging.INFO, "E": logging.ERROR, "F": logging.CRITICAL}


def capture_stderr() -> Callable[[], None]:
    """Log every line that the process writes to standard error from now on; returns what ends it.

    The handlers of the root logger that write to standard error still do. What a library writes while the
    process crashes may be lost.
    """
    sys.stderr.flush()
    original = os.dup(2)
    stream = os.fdopen(original, "w", encoding="utf-8", errors="backslashreplace")
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr
    ]
    for handler in handlers:
        handler.setStream(stream)
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    os.close(writer)
    thread = threading.Thread(target=_log_lines, args=(reader,), name="nestvec-stderr", daemon=True)
    thread.start()

    def end() -> None:
        sys.stderr.flush()
        os.dup2(original, 2)  # closes the pipe, so that the thread ends
        thread.join(timeout=5)
        for handler in handlers:
            handler.setStream(sys.stderr)

    return end


def _log_lines(reader: int) -> None:
    with os.fdopen(reader, "rb") as pipe:
        while line := pipe.readline(_MAX_LINE_BYTES):
            text = _COLORS.sub("", line.decode("utf-8", "backslashreplace")).strip()
            if text:
                severity = _SEVERITY.search(text)
                level = _LEVELS.get(severity[1], logging.WARNING) if severity else logging.WARNING
                logger.log(level, text)


def log_uncaught_exceptions() -> None:
    """Log exceptions that nothing caught, on any thread, each as one record."""
    uncaught = logging.getLogger("nestvec")

    def log_uncaught(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        uncaught.critical("uncaught exception", exc_info=(kind, error, traceback))

    def log_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
            name = args.thread.name if args.thread is not None else "?"
            uncaught.error(
                "uncaught exception on the thread %s",
                name,
                exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
            )

    def log_unraisable(args: sys.UnraisableHookArgs) -> None:
        error = args.exc_value
        if error is not None:
            uncaught.error(
                "exception that cannot be raised", exc_info=(type(error), error, args.exc_traceback)
            )

    sys.excepthook, threading.excepthook, sys.unraisablehook = log_uncaught, log_thread, log_unraisable
