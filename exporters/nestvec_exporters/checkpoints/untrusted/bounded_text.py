"""Text that a checkpoint's template writes, in bounded time and memory.

transformers renders templates in a sandbox without files or imports, which does not limit loops or the
length of texts.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

MAX_SECONDS: Final = 10.0
MAX_CHARACTERS: Final = 1 << 20
_MAX_BYTES: Final = 1 << 30
"""Memory that rendering may take beyond what the process has."""

_STATM: Final = Path("/proc/self/statm")
_DONE, _FAILED = b"=", b"!"


def bounded_text(render: Callable[[], str]) -> str:
    """What ``render`` returns, computed in a process of its own.

    Raises ValueError with the reason if it takes too long, writes too much or fails.
    """
    if not hasattr(os, "fork"):
        return render()
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:  # pragma: no cover - another process
        _write_result(render, writer)
    os.close(writer)
    try:
        answer = _read(reader)
    finally:
        os.close(reader)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    if answer is None:
        raise ValueError(f"it takes longer than {MAX_SECONDS:.0f} s")
    text = answer[1:].decode("utf-8", "replace")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it writes more than {MAX_CHARACTERS:,} characters")
    if not answer.startswith(_DONE):
        raise ValueError(text or "it takes too much memory")
    return text


def _write_result(render: Callable[[], str], writer: int) -> None:  # pragma: no cover - another process
    """In the child: write the text, or the first line of the error, and end without any clean-up."""
    import resource  # noqa: PLC0415 - not on every system

    try:
        if _STATM.is_file():
            pages = int(_STATM.read_text().split()[0])
            limit = pages * resource.getpagesize() + _MAX_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        result = _DONE + render().encode("utf-8", "surrogatepass")
    except MemoryError:
        result = _FAILED
    except BaseException as error:  # a template can raise anything
        line = str(error).strip().partition("\n")[0] or type(error).__name__
        result = _FAILED + line.encode("utf-8", "replace")
    try:
        with os.fdopen(writer, "wb") as file:
            file.write(result[: 4 * MAX_CHARACTERS + 8])
    finally:
        os._exit(0)


def _read(reader: int) -> bytes | None:
    """All that comes, or None if it does not end in time."""
    received, end = b"", time.monotonic() + MAX_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(reader, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, end - time.monotonic())):
                return None
            part = os.read(reader, 1 << 16)
            if not part:
                return received
            received += part
