"""Who sent a request, and how long it may take."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qs

from starlette.types import Scope

from nestvec.service.middleware.connection_gate import client_of
from nestvec.service.settings import LoadLimits
from nestvec_schemas.errors import BodyInvalid

ARRIVED: Final = "nestvec.arrived"
"""Key of an ASGI scope: the loop's time of the request's first byte, where the server sets it."""

BODY_ARRIVED: Final = "nestvec.body_arrived"
"""Key of an ASGI scope: true once the whole body has arrived, where the server sets it."""

_LONG_PATHS: Final = ("/v1/", "/embeddings")
"""Paths whose clients wait for longer than the 30 s of Milvus: Milvus Lite 60 s, OpenAI's clients 600 s."""

ADMIN_PATH: Final = "/admin/"
"""Paths of operators, which check keys of their own."""

_ADMIN_SECONDS: Final = 600.0
"""For an operator's requests, which have encoders opened."""

_GO_CLIENT: Final = b"Go-http-client/"

_NO_ADDRESS: Final = "unknown"

GRACE_SECONDS: Final = 0.25
"""How long after the deadline a request is cancelled: until then, what it waits for says better what of it is
missing."""


def allowed_seconds(scope: Scope, limits: LoadLimits) -> float:
    """The seconds that a request may take: what its query string states, or else follows from who sends it
    where, at most the service's maximum.

    Raises BodyInvalid for a ``deadline`` that is not a number of seconds.
    """
    path, query_string = scope["path"], scope["query_string"]
    if b"deadline=" in query_string:
        values = parse_qs(query_string.decode("latin-1"), keep_blank_values=True).get("deadline", [])
        if values:
            return min(_parse_seconds(values), limits.max_deadline_seconds)
    if path.startswith(ADMIN_PATH):
        return _ADMIN_SECONDS
    if is_milvus(scope["headers"]):
        return min(limits.milvus_deadline_seconds, limits.max_deadline_seconds)
    if path.startswith(_LONG_PATHS):
        return limits.max_deadline_seconds
    return min(limits.deadline_seconds, limits.max_deadline_seconds)


def is_milvus(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request looks like one of a Milvus server's functions.

    They are sent by Go's own client with no ``Accept``, or through the ``cohere`` provider with ``bearer`` in
    lower case (Milvus: ``internal/util/function/models``). Go's SDKs of OpenAI and Cohere name themselves, or
    send an ``Accept`` and ``Bearer``; a program that calls the service by Go's bare client looks the same.
    """
    sent = dict(headers)
    if not sent.get(b"user-agent", b"").startswith(_GO_CLIENT):
        return False
    is_cohere = sent.get(b"authorization", b"").startswith(b"bearer ")
    return sent.get(b"content-type") == b"application/json" and (b"accept" not in sent or is_cohere)


def client_of_scope(scope: Scope) -> str:
    """The client by the address of the request's peer."""
    # Without an address, as on a socket of this machine: one client, with a client's share.
    host, _ = scope.get("client") or (_NO_ADDRESS, 0)
    return client_of(str(host))


def _parse_seconds(values: list[str]) -> float:
    try:
        seconds = float(values[0]) if len(values) == 1 and len(values[0]) < 32 else math.nan
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise BodyInvalid(
            "the deadline in the query string is not a number of seconds",
            value=", ".join(values)[:40],
            next_step="State the seconds that the client waits, for example deadline=8.5.",
        )
    return seconds
