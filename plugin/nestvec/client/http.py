"""HTTP requests to a service: time limits, retries, errors."""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx
from pydantic import ValidationError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    wait_exponential_jitter,
)

from nestvec.client.read_deadline import ReadDeadline, read_until
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import ServiceBusy, ServiceRefused, ServiceUnreachable
from nestvec_schemas.model_name import format_model_name

EMBED_SECONDS = 60.0

REQUEST_TEXTS = 128
"""Texts in one request: few enough for a CPU to embed before the service's deadline."""

_ATTEMPTS = 4
_MAX_WAIT_SECONDS = 30
_BACK_OFF: Final = wait_exponential_jitter(initial=0.5, max=_MAX_WAIT_SECONDS, jitter=0.5)
BUSY_STATUSES: Final = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may succeed, because the service caches what it has embedded."""

_MAX_RESPONSE_BYTES: Final = 256 << 20
"""Of a service's response: 128 vectors of 4,096 numbers have some 10 MiB."""

_NOT_COMPRESSED: Final = "identity"

_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For http addresses: it trusts nobody. The trusted certificates would be read for each client, for 25 ms."""


@dataclass(frozen=True)
class EmbeddingRequest:
    """Which service embeds, and how."""

    service: str
    """Its base URL."""

    config: EmbeddingConfig

    has_role: bool = True
    """Whether it says that texts are queries or documents, so that the encoder's prompts are put before them;
    Milvus Lite's requests do not."""

    @property
    def model(self) -> str:
        """The name of the encoder with its expert and exit: ``minilm@3``."""
        return format_model_name(self.config)

    @property
    def pinned_model(self) -> str:
        """The same with the fingerprint that the field was registered with, if it has one: a service whose
        encoder of this name is another by now refuses the request."""
        return format_model_name(self.config, with_fingerprint=True)


def post_with_retries(client: httpx.Client, path: str, body: Mapping[str, object]) -> httpx.Response:
    """The response; while the service is busy or restarts, that of a later attempt.

    Waits as long as ``Retry-After`` says, otherwise longer and longer, with jitter. Raises the last
    attempt's httpx.TransportError.
    """
    attempts = Retrying(
        stop=stop_after_attempt(_ATTEMPTS),
        wait=_wait_seconds,
        retry=retry_if_result(_is_busy) | retry_if_exception_type(httpx.TransportError),
        retry_error_callback=_last_outcome,
        sleep=lambda seconds: time.sleep(seconds),
    )
    response: httpx.Response = attempts(client.post, path, json=body)
    return response


def _is_busy(response: httpx.Response) -> bool:
    return response.status_code in BUSY_STATUSES


def _wait_seconds(state: RetryCallState) -> float:
    outcome = state.outcome
    if outcome is not None and not outcome.failed:
        seconds = retry_after(outcome.result())
        if seconds is not None:
            return min(_MAX_WAIT_SECONDS, seconds)
    return float(_BACK_OFF(state))


def _last_outcome(state: RetryCallState) -> httpx.Response:
    outcome: Future[httpx.Response] | None = state.outcome
    if outcome is None:
        raise httpx.TransportError("no attempt was made")
    return outcome.result()


def retry_after(response: httpx.Response) -> float | None:
    """The seconds of a response's ``Retry-After``; None without it, or if it is a date."""
    wait = response.headers.get("retry-after", "")
    return float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 7 else None


def check_accepted(
    request: EmbeddingRequest, answer: httpx.Response, key: str | None, count: int
) -> httpx.Response:
    """The response. Raises ServiceBusy or ServiceRefused if it is an error."""
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise unauthorized_error(request.service, key)
    texts = "1 text" if count == 1 else f"{count} texts"
    if _is_busy(answer):
        busy = ServiceBusy(
            f"the service at {request.service} is too busy to embed {texts} with {request.model}",
            value=_error_message(answer),
            next_step="Try again later: what it has embedded is remembered.",
        )
        busy.retry_after = retry_after(answer)
        raise busy
    if answer.is_error:
        refused = ServiceRefused(
            f"the service at {request.service} refused to embed {texts} with {request.model}",
            value=_error_message(answer),
            next_step="Correct what it reports, then try again.",
        )
        refused.status = answer.status_code
        raise refused
    return answer


def _error_message(answer: httpx.Response) -> str:
    try:
        body = answer.json()
        return str(body["message"] if "message" in body else body["error"])
    except (ValueError, LookupError, TypeError):
        return f"status {answer.status_code}"


def http_client(service: str, key: str | None, seconds: float) -> httpx.Client:
    """A client of the service, which ignores the environment's proxy for this machine itself.

    A response has ``seconds`` to begin, and as many to end, however slowly its bytes come. One that is
    compressed is refused: a few MiB may be a thousand times as many.
    """
    deadline = ReadDeadline()

    def begin(_: httpx.Request) -> None:
        deadline.start(seconds, "begin")

    def bound(response: httpx.Response) -> None:
        deadline.start(seconds, "end")
        if response.headers.get("content-encoding", _NOT_COMPRESSED).lower() != _NOT_COMPRESSED:
            raise httpx.RemoteProtocolError("the response is compressed, which was not requested")
        if isinstance(response.stream, httpx.SyncByteStream):
            response.stream = _BoundedStream(response.stream)

    client = httpx.Client(
        event_hooks={"request": [begin], "response": [bound]},
        base_url=service,
        headers={"accept-encoding": _NOT_COMPRESSED} | ({"authorization": f"Bearer {key}"} if key else {}),
        timeout=seconds,
        trust_env=not is_loopback(service),
        verify=ssl.create_default_context() if urlsplit(service).scheme == "https" else _NO_TLS,
    )
    read_until(client, deadline)
    return client


class _BoundedStream(httpx.SyncByteStream):
    """A response's body, which must have no more bytes than the largest response may."""

    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        """The parts. Raises httpx.ReadTimeout, httpx.RemoteProtocolError."""
        size = 0
        for part in self._stream:
            size += len(part)
            if size > _MAX_RESPONSE_BYTES:
                raise httpx.RemoteProtocolError(f"the response has more than {_MAX_RESPONSE_BYTES >> 20} MiB")
            yield part

    def close(self) -> None:
        """Close the connection's stream."""
        self._stream.close()


@contextmanager
def translate_http_errors(service: str) -> Iterator[None]:
    """Turn what httpx and pydantic raise into nestvec's errors."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        if _is_busy(error.response):
            raise ServiceBusy(
                f"the service at {service} is not ready",
                value=f"status {error.response.status_code}",
                next_step="Try again later; if a proxy answers in its place, start the service behind it.",
            ) from error
        raise ServiceRefused(
            f"the server at {service} is not a nestvec service, or refuses the request",
            value=f"status {error.response.status_code}",
            next_step="Correct the address, or start a service there with nestvec serve --models MODELS.",
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceUnreachable(
            f"no service answers at {service}",
            value=str(error) or type(error).__name__,
            next_step="Start it: nestvec serve --models MODELS, or correct the address.",
        ) from error
    except ValidationError as error:
        raise ServiceRefused(
            f"the server at {service} is not a nestvec service",
            value=error.errors()[0]["msg"],
            next_step="Correct the address, or stop the other server.",
        ) from error


def unauthorized_error(service: str, key: str | None) -> ServiceRefused:
    """The error if the API key is missing or unknown."""
    cause = "does not accept the API key" if key else "requires an API key"
    return ServiceRefused(
        f"the service at {service} {cause}",
        next_step="Set the environment variable NESTVEC_API_KEY to one of its keys.",
    )


def is_loopback(service: str) -> bool:
    """Whether a URL's host is this machine's own."""
    host = urlsplit(service).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
