"""One request from its first byte to its answer: its id, what it asked for, how it ended."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nestvec.service.api.error_responses import error_response
from nestvec.service.observability.observer import BatchRun, Observer

REQUEST_ID = b"x-request-id"

_VALID_ID = re.compile(rb"[\x21-\x7e]{1,128}")


@dataclass
class RequestRecord:
    """What is known of a request; ``path`` is safe to print; ``status`` 0 until it is answered."""

    request_id: str
    method: str
    path: str
    encoder: str = ""
    texts: int = 0
    trace_id: str = ""
    status: int = 0
    seconds: float = 0.0


_current: ContextVar[RequestRecord | None] = ContextVar("nestvec_notes", default=None)

RequestListener = Callable[[RequestRecord], None]


def current_request() -> RequestRecord | None:
    """The notes of the request that the caller works for; None outside of requests."""
    return _current.get()


class RequestLogMiddleware:
    """Takes notes of every request, and tells each of ``ended`` when it is over.

    The id comes from the client's ``X-Request-Id`` (1 to 128 printable characters) or is made, and is
    sent back. An error that no handler took is answered here, so that it too has an id and is counted.
    """

    def __init__(self, app: ASGIApp, ended: Sequence[RequestListener]) -> None:
        self._app, self._ended = app, ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        notes = RequestRecord(_request_id(scope), scope["method"], printable(scope["path"]))
        token = _current.set(notes)

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                notes.status = message["status"]
                message["headers"] = [*message.get("headers", ()), (REQUEST_ID, notes.request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            if notes.status:
                raise
            await error_response(scope["path"], error)(scope, receive, noted)
        finally:
            notes.seconds = time.perf_counter() - began
            for ended in self._ended:
                ended(notes)
            _current.reset(token)


class CompositeObserver:
    """An observer that passes on to several, and notes on the request what it asked for."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    def batch_ran(self, run: BatchRun) -> None:
        for observer in self._observers:
            observer.batch_ran(run)

    def texts_asked(self, encoder: str, *, fresh: int, shared: int, remembered: int) -> None:
        notes = _current.get()
        if notes is not None:
            notes.encoder = encoder
            notes.texts += fresh + shared + remembered
        for observer in self._observers:
            observer.texts_asked(encoder, fresh=fresh, shared=shared, remembered=remembered)

    def queue_changed(self, encoder: str, texts: int) -> None:
        for observer in self._observers:
            observer.queue_changed(encoder, texts)

    def truncated(self, encoder: str, texts: int) -> None:
        for observer in self._observers:
            observer.truncated(encoder, texts)


def printable(path: str) -> str:
    """A path as it may stand in a log: at most 200 characters, none of them a line break or a control."""
    return path[:200].encode("unicode_escape").decode("ascii")[:200]


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == REQUEST_ID and _VALID_ID.fullmatch(value):
            return bytes(value).decode("ascii")
    return uuid.uuid4().hex
