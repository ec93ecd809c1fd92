"""Requests to a service: its encoders, and the vectors that no Function of Milvus computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

import httpx
import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, TypeAdapter, model_validator

from nestvec.client.http import (
    EMBED_SECONDS,
    REQUEST_TEXTS,
    EmbeddingRequest,
    check_accepted,
    http_client,
    post_with_retries,
    translate_http_errors,
    unauthorized_error,
)
from nestvec_schemas.embedding_config import Form
from nestvec_schemas.errors import EncoderNotFound, RowRejected, ServiceRefused, nearest
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.towers import Modality, OutputKind
from nestvec_schemas.vectors import Vectors

_INFO_SECONDS = 5.0


class BridgeInfo(BaseModel):
    """What a service says about a bridge."""

    unstated_quality: dict[int, float] = {}
    """What queries find by the map of documents; empty if they have no other."""


class EncoderInfo(BaseModel):
    """What a service says about one encoder."""

    kind: OutputKind = "dense"
    dim: int
    dims: tuple[int, ...]
    """The ladder of useful prefixes, longest first."""

    layers: tuple[int, ...] = ()
    """The exits, deepest first."""

    experts: tuple[str, ...] = ()
    max_tokens: int
    prompts: dict[PromptName, str]
    default_prompt: PromptName | None = None
    """The prompt before texts for which a request names none."""

    towers: tuple[Modality, ...] = ("text",)
    reads_images: bool = Field(False, validation_alias="pictures")
    """Whether an input may be the address of an image."""

    fingerprint: str | None = None
    """Fingerprint of the encoder; None from a service that does not say."""

    variant: str | None = None
    """Fingerprint of its files, which older registrations recorded."""

    precision: str | None = None
    """Precision of its weights."""

    exported: str | None = None
    """When it was exported, in UTC; None if its manifest does not say."""

    bridge: BridgeInfo | None = None
    """None for an encoder of its own."""

    tokens_per_second: float | None = None
    """Measured speed; None if the service did not measure it."""

    recommended_chunk: int | None = None
    """Texts of the encoder's full length that a request should have, so that it is answered in a third of
    the time that Milvus waits."""


class ServiceInfo(BaseModel):
    """What a service says about itself."""

    encoders: Mapping[str, EncoderInfo]
    """By name and by alias."""

    max_client_batch_size: int
    aliases: Mapping[str, str] = {}
    """Other names, with the encoder of each."""

    @model_validator(mode="after")
    def _encoders_have_aliases(self) -> ServiceInfo:
        named = {alias: self.encoders[name] for alias, name in self.aliases.items() if name in self.encoders}
        self.encoders = {**named, **self.encoders}
        return self

    def encoder(self, name: str, service: str) -> EncoderInfo:
        """One encoder. Raises EncoderNotFound with the nearest name."""
        if name not in self.encoders:
            raise EncoderNotFound(
                f"the service at {service} has no encoder of this name",
                value=name,
                next_step=f"Available: {', '.join(sorted(self.encoders))}.{nearest(name, self.encoders)} "
                "Export it into the service's model repository, then reload the service (SIGHUP).",
            )
        return self.encoders[name]


def fetch_info(service: str, key: str | None = None) -> ServiceInfo:
    """``GET /info``, with an API key if the service requires one.

    A service with TLS must have a certificate that this machine trusts, or that is in ``SSL_CERT_FILE``.
    Raises ServiceUnreachable, ServiceRefused (also when it is not a nestvec service).
    """
    with translate_http_errors(service), http_client(service, key, _INFO_SECONDS) as client:
        answer = client.get("/info")
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise unauthorized_error(service, key)
        answer.raise_for_status()
        return ServiceInfo.model_validate_json(answer.content)


_EmbeddingType = Literal["ubinary", "float"]


class _Embeddings(BaseModel):
    ubinary: list[list[Annotated[int, Field(ge=0, le=255)]]] = []
    float: list[list[FiniteFloat]] = []


class _EmbedAnswer(BaseModel):
    embeddings: _Embeddings


class _OpenAiEmbedding(BaseModel):
    index: Annotated[int, Field(ge=0)]
    embedding: list[FiniteFloat]


class _OpenAiAnswer(BaseModel):
    data: list[_OpenAiEmbedding]


def embed(
    request: EmbeddingRequest, texts: Sequence[str], key: str | None = None, *, query: bool = False
) -> Iterable[Any]:
    """A vector per text, as a field of the config's form stores it: numbers, bits as bytes, or weights by id.

    The texts are documents, or queries if ``query`` is true: the encoder's prompts are put before them,
    unless the request has no role. While the service is busy, the request is sent again.
    Raises ServiceUnreachable, ServiceRefused.
    """
    if not request.has_role:
        return _embed_without_role(request, texts, key)
    return _EMBED_BY_FORM[request.config.form](request, texts, key, query=query)


def embed_bits(
    request: EmbeddingRequest, texts: Sequence[str], key: str | None = None, *, query: bool = False
) -> list[bytes]:
    """The sign bits of each text's vector, ``dim`` / 8 bytes each, as BINARY_VECTOR fields have them.

    Otherwise as ``embed``.
    """
    return [
        bytes(row)
        for answer in _embed_by_type(request, texts, key, "ubinary", query)
        for row in answer.embeddings.ubinary
    ]


def embed_vectors(
    request: EmbeddingRequest, texts: Sequence[str], key: str | None = None, *, query: bool = False
) -> Vectors:
    """The texts' vectors, (n, ``dim``) float32, as FLOAT_VECTOR fields have them; otherwise as ``embed``."""
    rows = [
        row
        for answer in _embed_by_type(request, texts, key, "float", query)
        for row in answer.embeddings.float
    ]
    return _as_vectors(request, rows)


def _embed_without_role(request: EmbeddingRequest, texts: Sequence[str], key: str | None) -> Vectors:
    """The texts' vectors as Milvus Lite requests them: only a prompt that the config names, or the encoder's
    default, is put before them."""
    rows: list[list[float]] = []
    dim = {} if request.config.dim is None else {"dimensions": request.config.dim}
    with translate_http_errors(request.service), http_client(request.service, key, EMBED_SECONDS) as client:
        for start in range(0, len(texts), REQUEST_TEXTS):
            chunk = list(texts[start : start + REQUEST_TEXTS])
            body = {"model": request.pinned_model, "input": chunk, "encoding_format": "float", **dim}
            answer = post_with_retries(client, "/v1/embeddings", body)
            check_accepted(request, answer, key, len(chunk))
            data = _OpenAiAnswer.model_validate_json(answer.content).data
            by_index = {entry.index: entry.embedding for entry in data if entry.index < len(chunk)}
            _check_count(request, min(len(data), len(by_index)), len(chunk), "vectors")
            rows += [by_index[index] for index in range(len(chunk))]
    return _as_vectors(request, rows)


SparseVector = dict[int, float]
"""A sparse vector as pymilvus takes it: words' ids to their weights."""

EMPTY_WEIGHTS: Final[SparseVector] = {0: 1e-30}
"""The vector of a text without any word, as Milvus Lite accepts no empty one: as good as zero."""


class SparseWeight(BaseModel):
    """One weight of a sparse vector."""

    index: Annotated[int, Field(ge=0)]
    value: FiniteFloat
    word: str = ""
    """The vocabulary's word of this index, where it was requested."""


_SPARSE_ANSWER = TypeAdapter(list[list[SparseWeight]])


def embed_weights(
    request: EmbeddingRequest, texts: Sequence[str], key: str | None = None, *, query: bool = False
) -> list[SparseVector]:
    """The weights of each text's words by a sparse encoder, at least one each; otherwise as ``embed``."""
    rows = embed_sparse(request, texts, key, query=query, with_words=False)
    return [{weight.index: weight.value for weight in row} or dict(EMPTY_WEIGHTS) for row in rows]


def embed_sparse(
    request: EmbeddingRequest,
    texts: Sequence[str],
    key: str | None = None,
    *,
    query: bool = False,
    with_words: bool = True,
) -> list[list[SparseWeight]]:
    """The weights of each text in the order of their ids, with their words; otherwise as ``embed``."""
    top = request.config.top
    query_string = {"encoder": request.pinned_model} | ({"words": "true"} if with_words else {})
    query_string |= {} if top is None else {"top": str(top)}
    path = f"/embed_sparse?{urlencode(query_string)}"
    vectors: list[list[SparseWeight]] = []
    with translate_http_errors(request.service), http_client(request.service, key, EMBED_SECONDS) as client:
        for start in range(0, len(texts), REQUEST_TEXTS):
            chunk = list(texts[start : start + REQUEST_TEXTS])
            body = {"inputs": chunk, "truncate": True, "prompt_name": "query" if query else "document"}
            answer = check_accepted(request, post_with_retries(client, path, body), key, len(chunk))
            rows = _SPARSE_ANSWER.validate_json(answer.content)
            _check_count(request, len(rows), len(chunk), "sparse vectors")
            vectors += rows
    return vectors


_EMBED_BY_FORM: Final[dict[Form, Callable[..., Iterable[Any]]]] = {
    "float": embed_vectors,
    "int8": embed_vectors,
    "binary": embed_bits,
    "sparse": embed_weights,
}


class _Failure(BaseModel):
    index: Annotated[int, Field(ge=0)]
    cause: str
    value: str | None
    next_step: str


class _CheckAnswer(BaseModel):
    failed: list[_Failure]


def find_unreadable(
    request: EmbeddingRequest, texts: Sequence[str], key: str | None = None
) -> dict[int, RowRejected]:
    """The documents that cannot be embedded because their image cannot be fetched or read: the reason for
    each, by position.

    The others are embedded and cached, with the encoder's prompt before them if the request has a role.
    Raises ServiceUnreachable, ServiceRefused.
    """
    path = f"/check?{urlencode({'encoder': request.pinned_model})}"
    reasons: dict[int, RowRejected] = {}
    with translate_http_errors(request.service), http_client(request.service, key, EMBED_SECONDS) as client:
        for start in range(0, len(texts), REQUEST_TEXTS):
            chunk = list(texts[start : start + REQUEST_TEXTS])
            body = {"inputs": chunk, "prompt_name": "document" if request.has_role else None}
            answer = check_accepted(request, post_with_retries(client, path, body), key, len(chunk))
            failed = _CheckAnswer.model_validate_json(answer.content).failed
            of_chunk = sum(failure.index < len(chunk) for failure in failed)
            _check_count(request, of_chunk, len(failed), "reasons")
            for failure in failed:
                value = {} if failure.value is None else {"value": failure.value}
                reasons[start + failure.index] = RowRejected(
                    failure.cause, next_step=failure.next_step, **value
                )
    return reasons


def _embed_by_type(
    request: EmbeddingRequest,
    texts: Sequence[str],
    key: str | None,
    embedding_type: _EmbeddingType,
    query: bool,
) -> Iterator[_EmbedAnswer]:
    """The responses to requests of at most REQUEST_TEXTS texts, each with one vector of the right length per
    text."""
    kind = "search_query" if query else "search_document"
    with translate_http_errors(request.service), http_client(request.service, key, EMBED_SECONDS) as client:
        for start in range(0, len(texts), REQUEST_TEXTS):
            chunk = list(texts[start : start + REQUEST_TEXTS])
            body = {
                "model": request.pinned_model,
                "texts": chunk,
                "input_type": kind,
                "embedding_types": [embedding_type],
                "output_dimension": request.config.dim,
            }
            answer = check_accepted(request, post_with_retries(client, "/v2/embed", body), key, len(chunk))
            yield _parse_embeddings(request, answer, embedding_type, len(chunk))


def _check_count(request: EmbeddingRequest, count: int, expected: int, kind: str) -> None:
    if count != expected:
        raise ServiceRefused(
            f"the service at {request.service} did not return the {kind} that were requested",
            value=f"{count} of {expected}",
            next_step="Check that a nestvec service of this version runs there.",
        )


def _parse_embeddings(
    request: EmbeddingRequest, answer: httpx.Response, embedding_type: _EmbeddingType, count: int
) -> _EmbedAnswer:
    parsed = _EmbedAnswer.model_validate_json(answer.content)
    rows: Sequence[Sequence[float]] = getattr(parsed.embeddings, embedding_type)
    width, kind = _width(request, rows), "vectors"
    if embedding_type == "ubinary" and request.config.dim is not None:
        width, kind = request.config.dim // 8, "codes"
    sound = sum(len(row) == width for row in rows)
    _check_count(request, sound if len(rows) == count else len(rows), count, kind)
    return parsed


def _as_vectors(request: EmbeddingRequest, rows: Sequence[Sequence[float]]) -> Vectors:
    """The rows as float32. Raises ServiceRefused for another length, and for numbers that are too large."""
    width = _width(request, rows)
    _check_count(request, sum(len(row) == width for row in rows), len(rows), "vectors")
    with np.errstate(over="ignore"):
        vectors = np.asarray(rows, np.float32).reshape(len(rows), width)
    _check_count(request, int(np.isfinite(vectors).all(axis=1).sum()), len(rows), "vectors")
    return vectors


def _width(request: EmbeddingRequest, rows: Sequence[Sequence[float]]) -> int:
    """The length that each row must have: the config's dim, or if it has none that of the first row."""
    if request.config.dim is not None:
        return request.config.dim
    return len(rows[0]) if rows else 0
