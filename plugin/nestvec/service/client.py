"""Asking a service what it holds, and for the codes and vectors that no function of Milvus makes."""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Final, Literal
from urllib.parse import urlencode, urlsplit

import httpx
import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, TypeAdapter, ValidationError

from nestvec_schemas.errors import EncoderNotFound, ServiceRefused, ServiceUnreachable, nearest
from nestvec_schemas.towers import Kind, Modality
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
    """What a service says of one encoder; ``layers`` are its exits, deepest first, ``experts`` by name."""

    kind: Kind = "dense"
    dim: int
    dims: tuple[int, ...]
    layers: tuple[int, ...] = ()
    experts: tuple[str, ...] = ()
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


Weights = dict[int, float]
"""A sparse vector as pymilvus takes it: words' ids to their weights."""

NO_WORDS: Final[Weights] = {0: 1e-30}
"""What stands for a text without any word, as Milvus Lite takes no empty vector: as good as zero."""


class Word(BaseModel):
    """One weight of a sparse vector; ``word`` is what the vocabulary has under its index, where asked for."""

    index: Annotated[int, Field(ge=0)]
    value: FiniteFloat
    word: str = ""


_WORDS = TypeAdapter(list[list[Word]])


def ask_weights(
    coding: Coding, texts: Sequence[str], key: str | None = None, *, query: bool = False
) -> list[Weights]:
    """The weights of each text's words by a sparse encoder, never without any; else as ``ask_bits``."""
    rows = ask_words(coding, texts, key, query=query, named=False)
    return [{one.index: one.value for one in row} or dict(NO_WORDS) for row in rows]


def ask_words(
    coding: Coding, texts: Sequence[str], key: str | None = None, *, query: bool = False, named: bool = True
) -> list[list[Word]]:
    """The same as words, in the order of their ids."""
    asked = {"encoder": coding.model} | ({"words": "true"} if named else {})
    path = f"/embed_sparse?{urlencode(asked)}"
    found: list[list[Word]] = []
    with _errors(coding.service), _client(coding.service, key, _EMBED_SECONDS) as client:
        for start in range(0, len(texts), _CHUNK):
            chunk = list(texts[start : start + _CHUNK])
            body = {"inputs": chunk, "truncate": True, "prompt_name": "query" if query else "document"}
            answer = _accepted(coding, _posted(client, path, body), key, len(chunk))
            rows = _WORDS.validate_json(answer.content)
            _check_count(coding, len(rows), len(chunk), "sparse vectors")
            found += rows
    return found


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
            answer = _accepted(coding, _posted(client, "/v2/embed", body), key, len(chunk))
            yield _checked(coding, answer, written, len(chunk))


def _posted(client: httpx.Client, path: str, body: Mapping[str, object]) -> httpx.Response:
    """The answer; while the service is busy, that of a later attempt."""
    for _ in range(_ATTEMPTS - 1):
        answer = client.post(path, json=body)
        if answer.status_code not in _BUSY:
            return answer
        wait = answer.headers.get("retry-after", "")
        time.sleep(min(_LONGEST_WAIT, int(wait) if wait.isdigit() else 1))
    return client.post(path, json=body)


def _accepted(coding: Coding, answer: httpx.Response, key: str | None, count: int) -> httpx.Response:
    """The answer. Raises ServiceRefused where it is an error."""
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise _unauthorized(coding.service, key)
    if answer.is_error:
        raise ServiceRefused(
            f"the service at {coding.service} refused to embed {count} texts with {coding.model}",
            value=_said(answer),
            next_step="Correct what it says, then try again.",
        )
    return answer


def _check_count(coding: Coding, count: int, wanted: int, kind: str) -> None:
    if count != wanted:
        raise ServiceRefused(
            f"the service at {coding.service} answered with other {kind} than it was asked for",
            value=f"{count} for {wanted} texts",
            next_step="Check that a nestvec service of this version answers there.",
        )


def _checked(coding: Coding, answer: httpx.Response, written: _Written, count: int) -> _Embedded:
    found = _Embedded.model_validate_json(answer.content)
    rows: Sequence[Sequence[float]] = getattr(found.embeddings, written)
    width, kind = (coding.dim // 8, "codes") if written == "ubinary" else (coding.dim, "vectors")
    sound = sum(len(row) == width for row in rows)
    _check_count(coding, sound if len(rows) == count else len(rows), count, kind)
    return found


def _said(answer: httpx.Response) -> str:
    try:
        told = answer.json()
        return str(told["message"] if "message" in told else told["error"])
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
