"""Reranking as TEI, vLLM and Cohere ask for it: by a cross-encoder, or by late interaction."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from nestvec.service.api.common import (
    Took,
    TruncationFields,
    check_count,
    embedder_of,
    json_response,
    selected_encoder,
    with_prompt,
)
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.selection import BodyFields, EncoderSelection, QueryString, select_encoder
from nestvec.service.embedder import Variant
from nestvec.service.encoders import LoadedEncoder
from nestvec.service.middleware.disconnect import while_connected
from nestvec.service.preprocess import truncation
from nestvec.service.preprocess.inputs import EmbedInput, QueryDocument
from nestvec.service.preprocess.truncation import Policy
from nestvec.service.scoring import Scores, score_late_interaction, score_logits
from nestvec_schemas.errors import BodyInvalid, EmptyInput, NotOffered
from nestvec_schemas.towers import Kind

router = APIRouter(tags=["Rerank"])

RANKING_KINDS: tuple[Kind, ...] = ("reranker", "multivector")
"""The kinds of encoder that score a document with a query."""


class TextDocument(BaseModel):
    """A document as Cohere's v1 may write it."""

    text: str


class RerankRequest(TruncationFields):
    """``texts`` in TEI's words; ``documents`` in vLLM's and Cohere's."""

    query: str = Field(examples=["what is heat flow"])
    texts: list[str] | None = Field(None, description="What is scored, for TEI.", examples=[["waves"]])
    documents: list[str | TextDocument] | None = Field(None, description="The same for vLLM and Cohere.")
    raw_scores: bool = Field(False, description="Logits, or sums of cosines, instead of 0 to 1.")
    return_text: bool = False
    return_documents: bool = False
    model: str | None = Field(None, description="Encoder; not needed where one can rank.")
    top_n: int | None = Field(None, ge=1, description="Only so many of the best (else all).")
    truncate_prompt_tokens: int | None = Field(
        None, ge=-1, description="vLLM's: pairs are cut at what the encoder takes, whatever the number."
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


async def rerank(body: RerankRequest, request: Request, query: QueryString) -> Response:
    """Each document's score with the query, the best first; no score depends on what else is sent.

    A cross-encoder's is the sigmoid of its logit. A late-interaction encoder's is the mean, over the query's
    token vectors, of their largest cosine with the document's, brought from -1..1 to 0..1.
    """
    texts = _documents(body)
    settings = embedder_of(request).settings
    check_count(texts, settings.max_inputs)
    _check_not_empty(body.query, texts)
    choice = _select_ranking_encoder(request, select_encoder(query, BodyFields(body.model)))
    encoder = selected_encoder(request, choice, *RANKING_KINDS)
    if body.truncate is None and body.truncate_prompt_tokens is not None:
        body = body.model_copy(update={"truncate": True})
    scores, took = await _score(request, encoder, choice, body.policy(query, settings), (body.query, texts))
    numbers = scores.raw if body.raw_scores else scores.relevance
    best = [(index, float(numbers[index])) for index in scores.order(body.top_n)]
    to_response = _tei_response if body.documents is None else _cohere_response
    content = to_response(best, texts if body.return_text or body.return_documents else None, took)
    return json_response(content, took, [body.query, *texts])


for _path in ("/rerank", "/v1/rerank", "/v2/rerank"):
    router.post(
        _path,
        response_model=list[TeiRank] | RerankResponse,
        summary="Rerank documents",
        responses=error_models(_path),
    )(rerank)


def _tei_response(best: Sequence[tuple[int, float]], texts: Sequence[str] | None, took: Took) -> object:
    ranked = ({"index": index, "score": score} for index, score in best)
    return list(ranked) if texts is None else [{**rank, "text": texts[int(rank["index"])]} for rank in ranked]


def _cohere_response(best: Sequence[tuple[int, float]], texts: Sequence[str] | None, took: Took) -> object:
    ranked = ({"index": index, "relevance_score": score} for index, score in best)
    return {
        "id": str(uuid.uuid4()),
        "model": took.encoder,
        "results": list(ranked)
        if texts is None
        else [{**rank, "document": {"text": texts[int(rank["index"])]}} for rank in ranked],
        "usage": {"prompt_tokens": took.tokens, "total_tokens": took.tokens},
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    }


async def _score(
    request: Request,
    encoder: LoadedEncoder,
    choice: EncoderSelection,
    policy: Policy,
    asked: tuple[str, Sequence[str]],
) -> tuple[Scores, Took]:
    """The scores of a query's documents. Raises what ``run`` does."""
    started = time.perf_counter()
    query, texts = asked
    name, pairs = encoder.manifest.name, encoder.manifest.kind == "reranker"
    inputs: list[EmbedInput] = [QueryDocument(query, text) for text in texts]
    if not pairs:
        inputs = [*with_prompt([query], "query", encoder), *with_prompt(texts, "document", encoder)]
    variant = Variant(choice.exit, choice.expert)
    embedding = truncation.embed(embedder_of(request), name, inputs, policy, variant)
    embedded = (await while_connected(request, embedding)).embedded
    given = embedded.answers
    scores = score_logits(embedded.vectors[:, 0]) if pairs else score_late_interaction(given[0], given[1:])
    return scores, Took(name, embedded, 0, time.perf_counter() - started)


def _select_ranking_encoder(request: Request, choice: EncoderSelection) -> EncoderSelection:
    """The choice, with the only encoder that can rank where it names none. Raises NotOffered, BodyInvalid."""
    encoders = embedder_of(request).encoders
    ranking = [name for name, encoder in encoders.items() if encoder.manifest.kind in RANKING_KINDS]
    if choice.dim is not None:
        raise BodyInvalid(
            "scores have no dims to choose from", value=choice.dim, next_step="Leave dim= out of the address."
        )
    if not ranking:
        raise NotOffered(
            "no encoder of this service scores a query with a document",
            value=", ".join(sorted(encoders)),
            next_step="Rank by a vector of more dims instead, or ask a service that holds a cross-encoder.",
        )
    if choice.encoder is None and len(ranking) == 1:
        return replace(choice, encoder=ranking[0])
    return choice


def _documents(body: RerankRequest) -> list[str]:
    """What is to be scored. Raises BodyInvalid unless it is named once."""
    if (body.texts is None) == (body.documents is None):
        raise BodyInvalid(
            "what is to be ranked must be given once",
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
            next_step="Send at least one character of each, or leave it out.",
        )
