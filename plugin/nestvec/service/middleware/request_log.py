"""Records every request, and answers the errors that nothing else handled."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nestvec.service.api.error_responses import error_response
from nestvec.service.observability.observer import RequestRecord, set_current_request

_VALID_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")

RequestListener = Callable[[RequestRecord], None]


class RequestLogMiddleware:
    """Records every request, and passes the record to each of ``listeners`` when the request is over.

    An error that no handler took is answered here, so that it is recorded too.
    """

    def __init__(self, app: ASGIApp, listeners: Sequence[RequestListener]) -> None:
        self._app, self._listeners = app, listeners

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        record = RequestRecord(scope["method"], printable_path(scope["path"]))
        set_current_request(record)

        async def record_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, record_status)
        except Exception as error:
            if record.status:
                raise
            await error_response(scope["path"], error)(scope, receive, record_status)
        finally:
            record.route = getattr(scope.get("route"), "path", "")
            record.seconds = time.perf_counter() - started
            for listener in self._listeners:
                listener(record)


def valid_request_id(sent: str) -> str:
    """The client's request id, or a new one if it is not 1 to 128 printable ASCII characters."""
    return sent if _VALID_REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex


def printable_path(path: str) -> str:
    """A path for a log: at most 200 characters, without line breaks and control characters."""
    return path[:200].encode("unicode_escape").decode("ascii")[:200]
