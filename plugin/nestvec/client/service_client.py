"""Asking a service what it holds, and for the codes and vectors that no function of Milvus makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

import httpx
import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, TypeAdapter

from nestvec.client.http import (
    CHUNK,
    EMBED_SECONDS,
    Coding,
    accepted,
    errors,
    http_client,
    posted,
    unauthorized,
)
from nestvec_schemas.errors import EncoderNotFound, RowRejected, ServiceRefused, nearest
from nestvec_schemas.towers import Kind, Modality
from nestvec_schemas.vectors import Vectors

_SECONDS = 5.0


class EncoderInfo(BaseModel):
    """What a service says of one encoder; ``layers`` are its exits, deepest first, ``experts`` by name.

    ``pictures``: whether a value of it may be a picture, which may be one that cannot be had.
    """

    kind: Kind = "dense"
    dim: int
    dims: tuple[int, ...]
    layers: tuple[int, ...] = ()
    experts: tuple[str, ...] = ()
    max_tokens: int
    prompts: dict[str, str]
    towers: tuple[Modality, ...] = ("text",)
    pictures: bool = False


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
    with errors(service), http_client(service, key, _SECONDS) as client:
        answer = client.get("/info")
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise unauthorized(service, key)
        answer.raise_for_status()
        return ServiceInfo.model_validate_json(answer.content)


_Written = Literal["ubinary", "float"]


class _Embeddings(BaseModel):
    ubinary: list[list[Annotated[int, Field(ge=0, le=255)]]] = []
    float: list[list[FiniteFloat]] = []


class _Embedded(BaseModel):
    embeddings: _Embeddings


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
    asked |= {} if coding.top is None else {"top": str(coding.top)}
    path = f"/embed_sparse?{urlencode(asked)}"
    found: list[list[Word]] = []
    with errors(coding.service), http_client(coding.service, key, EMBED_SECONDS) as client:
        for start in range(0, len(texts), CHUNK):
            chunk = list(texts[start : start + CHUNK])
            body = {"inputs": chunk, "truncate": True, "prompt_name": "query" if query else "document"}
            answer = accepted(coding, posted(client, path, body), key, len(chunk))
            rows = _WORDS.validate_json(answer.content)
            _check_count(coding, len(rows), len(chunk), "sparse vectors")
            found += rows
    return found


class _Unread(BaseModel):
    index: Annotated[int, Field(ge=0)]
    cause: str
    value: str | None
    next_step: str


class _Checked(BaseModel):
    failed: list[_Unread]


def ask_unread(
    coding: Coding, texts: Sequence[str], key: str | None = None, *, prompted: bool = False
) -> dict[int, RowRejected]:
    """Which of these documents cannot be embedded, as what they name is no picture to be had: by place, why.

    What can is embedded and remembered. ``prompted`` says that the encoder's prompt is put before them.
    Raises ServiceUnreachable, ServiceRefused.
    """
    path = f"/check?{urlencode({'encoder': coding.model})}"
    found: dict[int, RowRejected] = {}
    with errors(coding.service), http_client(coding.service, key, EMBED_SECONDS) as client:
        for start in range(0, len(texts), CHUNK):
            chunk = list(texts[start : start + CHUNK])
            body = {"inputs": chunk, "prompt_name": "document" if prompted else None}
            answer = accepted(coding, posted(client, path, body), key, len(chunk))
            for one in _Checked.model_validate_json(answer.content).failed:
                given = {} if one.value is None else {"value": one.value}
                found[start + one.index] = RowRejected(one.cause, next_step=one.next_step, **given)
    return found


def _asked(
    coding: Coding, texts: Sequence[str], key: str | None, written: _Written, query: bool
) -> Iterator[_Embedded]:
    """The answers, a chunk of texts each, checked for their lengths."""
    kind = "search_query" if query else "search_document"
    with errors(coding.service), http_client(coding.service, key, EMBED_SECONDS) as client:
        for start in range(0, len(texts), CHUNK):
            chunk = list(texts[start : start + CHUNK])
            body = {
                "model": coding.model,
                "texts": chunk,
                "input_type": kind,
                "embedding_types": [written],
                "output_dimension": coding.dim,
            }
            answer = accepted(coding, posted(client, "/v2/embed", body), key, len(chunk))
            yield _checked(coding, answer, written, len(chunk))


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
