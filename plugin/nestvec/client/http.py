"""Requests to a service: how long they wait, when they are sent again, what their failures are called."""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
from pydantic import ValidationError

from nestvec_schemas.errors import ServiceRefused, ServiceUnreachable

EMBED_SECONDS = 60.0

CHUNK = 128
"""Texts in one request: few enough for a CPU to embed before the service's own deadline."""

_ATTEMPTS = 4
_LONGEST_WAIT = 30
_BUSY = (429, 503, 504)
"""Answers after which the same request may succeed; what was embedded meanwhile is remembered."""


@dataclass(frozen=True)
class Coding:
    """What codes or vectors are made by: a service's base URL, a model's name (``minilm@3``), their dim; of
    sparse vectors how many of the largest weights are kept, None for all."""

    service: str
    model: str
    dim: int
    top: int | None = None


def posted(client: httpx.Client, path: str, body: Mapping[str, object]) -> httpx.Response:
    """The answer; while the service is busy, that of a later attempt."""
    for _ in range(_ATTEMPTS - 1):
        answer = client.post(path, json=body)
        if answer.status_code not in _BUSY:
            return answer
        wait = answer.headers.get("retry-after", "")
        time.sleep(min(_LONGEST_WAIT, int(wait) if wait.isdigit() else 1))
    return client.post(path, json=body)


def accepted(coding: Coding, answer: httpx.Response, key: str | None, count: int) -> httpx.Response:
    """The answer. Raises ServiceRefused where it is an error."""
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise unauthorized(coding.service, key)
    if answer.is_error:
        raise ServiceRefused(
            f"the service at {coding.service} refused to embed {count} texts with {coding.model}",
            value=_said(answer),
            next_step="Correct what it says, then try again.",
        )
    return answer


def _said(answer: httpx.Response) -> str:
    try:
        told = answer.json()
        return str(told["message"] if "message" in told else told["error"])
    except (ValueError, LookupError, TypeError):
        return f"status {answer.status_code}"


def http_client(service: str, key: str | None, seconds: float) -> httpx.Client:
    """A client of the service; a proxy of the environment is not for this machine itself."""
    return httpx.Client(
        base_url=service,
        headers={"authorization": f"Bearer {key}"} if key else {},
        timeout=seconds,
        trust_env=not is_loopback(service),
        verify=ssl.create_default_context() if service.startswith("https:") else True,
    )


@contextmanager
def errors(service: str) -> Iterator[None]:
    """What httpx and pydantic raise, as ours."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise ServiceRefused(
            f"what answers at {service} is not a nestvec service, or refuses",
            value=f"status {error.response.status_code}",
            next_step="Correct the address; a service is started with nestvec serve --models MODELS.",
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceUnreachable(
            f"no service answers at {service}",
            value=str(error) or type(error).__name__,
            next_step="Start it: nestvec serve --models MODELS, or correct the address.",
        ) from error
    except ValidationError as error:
        raise ServiceRefused(
            f"what answers at {service} is not a nestvec service",
            value=error.errors()[0]["msg"],
            next_step="Correct the address, or stop what listens there.",
        ) from error


def unauthorized(service: str, key: str | None) -> ServiceRefused:
    """What is raised where the API key is missing or not known."""
    cause = "does not know the API key" if key else "wants an API key"
    return ServiceRefused(
        f"the service at {service} {cause}",
        next_step="Put one of its keys into the environment variable NESTVEC_API_KEY.",
    )


def is_loopback(service: str) -> bool:
    """Whether a URL's host is this machine's own."""
    host = urlsplit(service).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
