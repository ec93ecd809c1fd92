"""Reranking as TEI, vLLM and Cohere call it: by a cross-encoder, or by late interaction."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from nestvec.service.api.common import (
    TruncationFields,
    check_count,
    embedder_of,
    json_response,
    selected_encoder,
    while_connected,
)
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.json_body import off_loop
from nestvec.service.api.selection import QueryString, select_encoder
from nestvec.service.embedder import Embedder, EmbeddingResult, EmbedOptions, Timing
from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.inputs import EmbedInput, QueryDocument
from nestvec.service.prompts import choose_prompt, put_prompt
from nestvec.service.scoring import Scores, score_late_interaction, score_logits
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import BodyInvalid, EmptyInput, NotOffered
from nestvec_schemas.towers import OutputKind, Role

router = APIRouter(tags=["Rerank"])

RANKING_KINDS: Final[tuple[OutputKind, ...]] = ("reranker", "multivector")
"""The kinds of encoder that score a document with a query."""


class TextDocument(BaseModel):
    """A document as Cohere's v1 may write it."""

    text: str


class RerankRequest(TruncationFields):
    """``texts`` is TEI's field; ``documents`` is vLLM's and Cohere's."""

    query: str = Field(examples=["what is heat flow"])
    texts: list[str] | None = Field(None, description="The documents, for TEI.", examples=[["waves"]])
    documents: list[str | TextDocument] | None = Field(
        None, description="The documents, for vLLM and Cohere."
    )
    raw_scores: bool = Field(
        False, description="Return logits, or sums of cosines, instead of scores from 0 to 1."
    )
    return_text: bool = False
    return_documents: bool = False
    model: str | None = Field(None, description="Encoder. Optional if the service has only one that ranks.")
    top_n: int | None = Field(
        None, ge=1, description="Return only this many of the best documents. Default: all."
    )
    truncate_prompt_tokens: int | None = Field(
        None, ge=-1, description="From vLLM: any number truncates pairs to what the encoder takes."
    )


class TeiRank(BaseModel):
    index: int
    score: float
    text: str | None = None


class RerankResult(BaseModel):
    index: int
    relevance_score: float
    document: TextDocument | None = None


class RerankResponse(BaseModel):
    """``usage`` is vLLM's, ``meta`` Cohere's."""

    id: str
    model: str
    results: list[RerankResult]
    usage: dict[str, Any]
    meta: dict[str, Any]


async def rerank_documents(body: RerankRequest, request: Request, query: QueryString) -> Response:
    """Each document's score with the query, the best first. No score depends on the other documents.

    A cross-encoder's score is the sigmoid of its logit. A late-interaction encoder's is the mean, over the
    query's token vectors, of their largest cosine with the document's, rescaled from -1..1 to 0..1.
    """
    texts = _documents(body)
    settings = embedder_of(request).settings
    check_count(texts, settings.load.inputs)
    _check_not_empty(body.query, texts)
    config = _select_ranking_encoder(request, select_encoder(query, EmbeddingConfig(body.model or "")))
    encoder = selected_encoder(request, config, *RANKING_KINDS)
    if body.truncate is None and body.truncate_prompt_tokens is not None:
        body = body.model_copy(update={"truncate": True})
    on_error = query.on_error or settings.on_error
    options = EmbedOptions(config, body.truncation(query, settings), on_error)
    scores, result = await _score(request, encoder, body.query, texts, options)
    numbers = scores.raw if body.raw_scores else scores.relevance
    best = [(index, float(numbers[index])) for index in scores.order(body.top_n)]
    to_response = _tei_response if body.documents is None else _cohere_response
    content = to_response(best, texts if body.return_text or body.return_documents else None, result)
    return await json_response(lambda: content, result, [body.query, *texts])


for _path in ("/rerank", "/v1/rerank", "/v2/rerank"):
    router.post(
        _path,
        response_model=list[TeiRank] | RerankResponse,
        summary="Rerank documents",
        responses=error_models(_path),
    )(rerank_documents)


def _tei_response(
    best: Sequence[tuple[int, float]], texts: Sequence[str] | None, result: EmbeddingResult
) -> object:
    return [
        {"index": index, "score": score} | ({} if texts is None else {"text": texts[index]})
        for index, score in best
    ]


def _cohere_response(
    best: Sequence[tuple[int, float]], texts: Sequence[str] | None, result: EmbeddingResult
) -> object:
    return {
        "id": str(uuid.uuid4()),
        "model": result.encoder,
        "results": [
            {"index": index, "relevance_score": score}
            | ({} if texts is None else {"document": {"text": texts[index]}})
            for index, score in best
        ],
        "usage": {"prompt_tokens": result.tokens, "total_tokens": result.tokens},
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    }


async def _score(
    request: Request, encoder: LoadedEncoder, query: str, texts: Sequence[str], options: EmbedOptions
) -> tuple[Scores, EmbeddingResult]:
    """The scores of a query's documents. Raises what ``embed_inputs`` does."""
    started = time.perf_counter()
    embedder, name = embedder_of(request), encoder.manifest.name
    if encoder.manifest.kind == "reranker":
        pairs: list[EmbedInput] = [QueryDocument(query, text) for text in texts]
        result = await while_connected(request, embedder.embed(name, pairs, options))
        scores = score_logits(result.vectors[:, 0])
    else:
        result = await while_connected(request, _embed_sides(embedder, encoder, query, texts, options))
        query_vectors, *document_vectors = result.outputs
        numbers = sum(vectors.size for vectors in document_vectors)
        scores = await off_loop(numbers, lambda: score_late_interaction(query_vectors, document_vectors))
    timing = replace(result.timing, total=time.perf_counter() - started)
    return scores, replace(result, timing=timing)


async def _embed_sides(
    embedder: Embedder, encoder: LoadedEncoder, query: str, texts: Sequence[str], options: EmbedOptions
) -> EmbeddingResult:
    """A query's vectors and then its documents', each as its side is read."""
    manifest = encoder.manifest

    async def embed(role: Role, values: Sequence[str]) -> EmbeddingResult:
        choice = choose_prompt(manifest, role, options.config)
        inputs = put_prompt(values, choice, encoder)
        return await embedder.embed(manifest.name, inputs, replace(options, role=role))

    # One after the other: a request takes one place among those in flight.
    queries, documents = await embed("query", [query]), await embed("document", texts)
    return replace(
        documents,
        outputs=[*queries.outputs, *documents.outputs],
        tokens=queries.tokens + documents.tokens,
        truncated=queries.truncated + documents.truncated,
        timing=Timing(
            queries.timing.queued + documents.timing.queued,
            queries.timing.inference + documents.timing.inference,
        ),
    )


def _select_ranking_encoder(request: Request, config: EmbeddingConfig) -> EmbeddingConfig:
    """The config, with the only encoder that can rank if none is named.

    Raises NotOffered, BodyInvalid.
    """
    encoders = embedder_of(request).encoders
    ranking = [name for name, encoder in encoders.items() if encoder.manifest.kind in RANKING_KINDS]
    if config.dim is not None:
        raise BodyInvalid(
            "scores have no dims to choose from",
            value=config.dim,
            next_step="Omit dim= from the address.",
        )
    if not ranking:
        raise NotOffered(
            "no encoder of this service scores a query with a document",
            value=", ".join(sorted(encoders)),
            next_step="Rank by longer vectors instead, or use a service that has a cross-encoder.",
        )
    if not config.encoder and len(ranking) == 1:
        return replace(config, encoder=ranking[0])
    return config


def _documents(body: RerankRequest) -> list[str]:
    """The documents to score. Raises BodyInvalid unless exactly one field has them."""
    if (body.texts is None) == (body.documents is None):
        raise BodyInvalid(
            "the documents to rank must be in exactly one field",
            value="neither texts nor documents" if body.texts is None else "both texts and documents",
            next_step="Send texts as TEI does, or documents as vLLM and Cohere do.",
        )
    documents = body.documents or []
    return body.texts or [document if isinstance(document, str) else document.text for document in documents]


def _check_not_empty(query: str, texts: Sequence[str]) -> None:
    if not query:
        raise EmptyInput("the query is empty", next_step="Send at least one character.")
    if "" in texts:
        raise EmptyInput(
            "a document is empty",
            value=f"number {texts.index('') + 1} of {len(texts)}",
            next_step="Send at least one character of each document, or omit the empty ones.",
        )
