"""Responses as JSON, without keeping the event loop or Python's lock for long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Final, TypeVar

import numpy as np
import orjson
from fastapi import Response
from starlette.types import Receive, Scope, Send

from nestvec.service.batching.threads import WorkThread
from nestvec.service.middleware.whole_response import PLAIN_HEADERS
from nestvec.service.request_context import current_context

T = TypeVar("T")

MAX_INLINE_NUMBERS: Final = 1 << 15
"""Numbers that are worked on without a thread: about a millisecond."""

_SLICE_NUMBERS: Final = 1 << 15
"""Numbers that are written at once: orjson holds Python's lock meanwhile, about a millisecond."""

_CHARACTERS_PER_NUMBER: Final = 10

_thread: Final = WorkThread("nestvec-responses")


class WrittenJson(Response):
    """JSON in bytes, and headers as the server takes them: to encode them one by one takes longer."""

    def __init__(self, content: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.status_code, self.background, self.body = 200, None, content
        length = b"content-length", b"%d" % len(content)
        self.raw_headers = [*headers, length, (b"content-type", b"application/json")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ``Response``."""
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send({**start, PLAIN_HEADERS: True})
        await send({"type": "http.response.body", "body": self.body})


async def off_loop(numbers: int, work: Callable[[], T]) -> T:
    """The result of ``work``, which is on ``numbers`` numbers: on a thread if they are many."""
    return work() if numbers <= MAX_INLINE_NUMBERS else await _thread.run(work)


def dump_json(body: object) -> bytes:
    """``body``, with numpy's arrays and numbers and dataclasses, as JSON. Raises DeadlineExceeded."""
    if isinstance(body, np.ndarray) and body.size <= _SLICE_NUMBERS:
        return _dump(body)
    return b"".join(_pieces(body))


def _pieces(value: Any) -> Iterator[bytes]:
    if _size(value) <= _SLICE_NUMBERS:
        yield _dump(value)
    elif isinstance(value, dict):
        opening = b"{"
        for key, item in value.items():
            yield opening + _dump(key) + b":"
            yield from _pieces(item)
            opening = b","
        yield b"}"
    elif isinstance(value, np.ndarray) and value.ndim > 1:
        yield from _list_pieces(value, value[0].size)
    elif isinstance(value, list):
        yield from _list_pieces(value, max(map(_size, value)))
    else:
        yield _dump(value)


def _list_pieces(rows: Sequence[Any] | np.ndarray[Any, Any], row_size: int) -> Iterator[bytes]:
    """A list in slices of rows of at most ``row_size`` each."""
    count = max(1, _SLICE_NUMBERS // max(1, row_size))
    opening = b"["
    for start in range(0, len(rows), count):
        current_context().check_deadline("its response was written")
        yield opening
        if count == 1:
            yield from _pieces(rows[start])
        else:
            yield _dump(rows[start : start + count])[1:-1]
        opening = b","
    yield b"]"


def _dump(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _size(value: Any) -> int:
    """About how many numbers a value is as long to write as."""
    if isinstance(value, np.ndarray):
        return value.size
    if isinstance(value, str):
        return 1 + len(value) // _CHARACTERS_PER_NUMBER
    if isinstance(value, dict):
        return len(value) + sum(map(_size, value.values()))
    if isinstance(value, list):
        return len(value) + sum(map(_size, value))
    return len(fields(value)) if is_dataclass(value) else 1
