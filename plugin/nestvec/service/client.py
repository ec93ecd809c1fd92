"""Asking a service what it holds, and for the codes and vectors that no function of Milvus makes."""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

import httpx
import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from nestvec_schemas.errors import EncoderNotFound, ServiceRefused, ServiceUnreachable, nearest
from nestvec_schemas.towers import Modality
from nestvec_schemas.vectors import Vectors

_SECONDS = 5.0
_EMBED_SECONDS = 60.0

_CHUNK = 128
"""Texts in one request: few enough for a CPU to embed before the service's own deadline."""

_ATTEMPTS = 4
_LONGEST_WAIT = 30
_BUSY = (429, 503, 504)
"""Answers after which the same request may succeed; what was embedded meanwhile is remembered."""


class EncoderInfo(BaseModel):
    """What a service says of one encoder; ``layers`` are its exits, deepest first."""

    dim: int
    dims: tuple[int, ...]
    layers: tuple[int, ...] = ()
    max_tokens: int
    prompts: dict[str, str]
    towers: tuple[Modality, ...] = ("text",)


class ServiceInfo(BaseModel):
    """What a service says of itself."""

    encoders: Mapping[str, EncoderInfo]
    max_client_batch_size: int

    def encoder(self, name: str, service: str) -> EncoderInfo:
        """One encoder. Raises EncoderNotFound with the nearest name."""
        if name not in self.encoders:
            raise EncoderNotFound(
                f"the service at {service} has no encoder of this name",
                value=name,
                next_step=f"There: {', '.join(sorted(self.encoders))}.{nearest(name, self.encoders)} "
                "Export it into the service's model repository, then restart the service.",
            )
        return self.encoders[name]


def ask_info(service: str, key: str | None = None) -> ServiceInfo:
    """``GET /info``, with an API key where the service wants one.

    A service with TLS must have a certificate that this machine trusts, or that ``SSL_CERT_FILE`` holds.
    Raises ServiceUnreachable, ServiceRefused (also when it is not a nestvec service).
    """
    with _errors(service), _client(service, key, _SECONDS) as client:
        answer = client.get("/info")
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise _unauthorized(service, key)
        answer.raise_for_status()
        return ServiceInfo.model_validate_json(answer.content)


_Written = Literal["ubinary", "float"]


class _Embeddings(BaseModel):
    ubinary: list[list[Annotated[int, Field(ge=0, le=255)]]] = []
    float: list[list[FiniteFloat]] = []


class _Embedded(BaseModel):
    embeddings: _Embeddings


@dataclass(frozen=True)
class Coding:
    """What codes or vectors are made by: a service's base URL, a model's name (``minilm@3``), their dim."""

    service: str
    model: str
    dim: int


def ask_bits(
    coding: Coding, texts: Sequence[str], key: str | None = None, *, query: bool = False
) -> list[bytes]:
    """The sign bits of each text's vector, ``dim`` / 8 bytes each: what BINARY_VECTOR fields hold.

    The texts are documents, or queries where ``query`` is true: the encoder's prompts are put before them.
    A service that is busy is asked again. Raises ServiceUnreachable, ServiceRefused.
    """
    return [
        bytes(row)
        for answer in _asked(coding, texts, key, "ubinary", query)
        for row in answer.embeddings.ubinary
    ]


def ask_vectors(
    coding: Coding, texts: Sequence[str], key: str | None = None, *, query: bool = False
) -> Vectors:
    """The texts' vectors, (n, ``dim``) float32, as FLOAT_VECTOR fields hold them; else as ``ask_bits``."""
    rows = [row for answer in _asked(coding, texts, key, "float", query) for row in answer.embeddings.float]
    return np.asarray(rows, np.float32).reshape(-1, coding.dim)


def _asked(
    coding: Coding, texts: Sequence[str], key: str | None, written: _Written, query: bool
) -> Iterator[_Embedded]:
    """The answers, a chunk of texts each, checked for their lengths."""
    kind = "search_query" if query else "search_document"
    with _errors(coding.service), _client(coding.service, key, _EMBED_SECONDS) as client:
        for start in range(0, len(texts), _CHUNK):
            chunk = list(texts[start : start + _CHUNK])
            body = {
                "model": coding.model,
                "texts": chunk,
                "input_type": kind,
                "embedding_types": [written],
                "output_dimension": coding.dim,
            }
            answer = _posted(client, body)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                raise _unauthorized(coding.service, key)
            yield _checked(coding, answer, written, len(chunk))


def _posted(client: httpx.Client, body: Mapping[str, object]) -> httpx.Response:
    """The answer; while the service is busy, that of a later attempt."""
    for _ in range(_ATTEMPTS - 1):
        answer = client.post("/v2/embed", json=body)
        if answer.status_code not in _BUSY:
            return answer
        wait = answer.headers.get("retry-after", "")
        time.sleep(min(_LONGEST_WAIT, int(wait) if wait.isdigit() else 1))
    return client.post("/v2/embed", json=body)


def _checked(coding: Coding, answer: httpx.Response, written: _Written, count: int) -> _Embedded:
    if answer.is_error:
        raise ServiceRefused(
            f"the service at {coding.service} refused to embed {count} texts with {coding.model}",
            value=_said(answer),
            next_step="Correct what it says, then try again.",
        )
    found = _Embedded.model_validate_json(answer.content)
    rows: Sequence[Sequence[float]] = getattr(found.embeddings, written)
    width, kind = (coding.dim // 8, "codes") if written == "ubinary" else (coding.dim, "vectors")
    if [len(row) for row in rows] != [width] * count:
        raise ServiceRefused(
            f"the service at {coding.service} answered with other {kind} than it was asked for",
            value=f"{len(rows)} for {count} texts",
            next_step="Check that a nestvec service of this version answers there.",
        )
    return found


def _said(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, LookupError, TypeError):
        return f"status {answer.status_code}"


def _client(service: str, key: str | None, seconds: float) -> httpx.Client:
    return httpx.Client(
        base_url=service,
        headers={"authorization": f"Bearer {key}"} if key else {},
        timeout=seconds,
        trust_env=not is_loopback(service),
        verify=ssl.create_default_context() if service.startswith("https:") else True,
    )


@contextmanager
def _errors(service: str) -> Iterator[None]:
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


def _unauthorized(service: str, key: str | None) -> ServiceRefused:
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
