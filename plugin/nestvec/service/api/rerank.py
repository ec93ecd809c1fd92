"""Reranking as TEI, vLLM and Cohere ask for it: by a cross-encoder, or by late interaction."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from nestvec.service.api.call import (
    Took,
    Truncation,
    check_count,
    chosen,
    embedder_of,
    with_prompt,
    written,
)
from nestvec.service.api.choice import Choice, InBody, QueryString, choose_from
from nestvec.service.api.error_responses import refusals
from nestvec.service.batching import truncation
from nestvec.service.batching.embedder import Variant
from nestvec.service.batching.scoring import Scores, interacted, scored
from nestvec.service.batching.truncation import Policy
from nestvec.service.encoders import Encoder
from nestvec.service.middleware.disconnect import while_connected
from nestvec.service.preprocess.inputs import Input, Pair
from nestvec_schemas.errors import BodyInvalid, EmptyInput, NotOffered
from nestvec_schemas.towers import Kind

router = APIRouter(tags=["Rerank"])

RANKING: tuple[Kind, ...] = ("reranker", "multivector")
"""The kinds of encoder that score a document with a query."""


class TextDocument(BaseModel):
    """A document as Cohere's v1 may write it."""

    text: str


class RerankRequest(Truncation):
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


class Ranked(BaseModel):
    index: int
    score: float
    text: str | None = None


class Result(BaseModel):
    index: int
    relevance_score: float
    document: TextDocument | None = None


class Results(BaseModel):
    """``usage`` is vLLM's, ``meta`` Cohere's."""

    id: str
    model: str
    results: list[Result]
    usage: dict[str, Any]
    meta: dict[str, Any]


async def rerank(body: RerankRequest, request: Request, query: QueryString) -> Response:
    """Each document's score with the query, the best first; no score depends on what else is sent.

    A cross-encoder's is the sigmoid of its logit. A late-interaction encoder's is the mean, over the query's
    token vectors, of their largest cosine with the document's, brought from -1..1 to 0..1.
    """
    texts = _texts(body)
    settings = embedder_of(request).settings
    check_count(texts, settings.max_inputs)
    _check_filled(body.query, texts)
    choice = _choice(request, choose_from(query, InBody(body.model)))
    encoder = chosen(request, choice, *RANKING)
    if body.truncate is None and body.truncate_prompt_tokens is not None:
        body = body.model_copy(update={"truncate": True})
    scores, took = await _scored(request, encoder, choice, body.policy(query, settings), (body.query, texts))
    numbers = scores.raw if body.raw_scores else scores.relevance
    best = [(at, float(numbers[at])) for at in scores.order(body.top_n)]
    shape = _as_tei if body.documents is None else _as_cohere
    told = shape(best, texts if body.return_text or body.return_documents else None, took)
    return written(told, took, [body.query, *texts])


for _path in ("/rerank", "/v1/rerank", "/v2/rerank"):
    router.post(
        _path,
        response_model=list[Ranked] | Results,
        summary="Rerank documents",
        responses=refusals(_path),
    )(rerank)


def _as_tei(best: Sequence[tuple[int, float]], texts: Sequence[str] | None, took: Took) -> object:
    ranked = ({"index": at, "score": score} for at, score in best)
    return list(ranked) if texts is None else [{**one, "text": texts[int(one["index"])]} for one in ranked]


def _as_cohere(best: Sequence[tuple[int, float]], texts: Sequence[str] | None, took: Took) -> object:
    ranked = ({"index": at, "relevance_score": score} for at, score in best)
    return {
        "id": str(uuid.uuid4()),
        "model": took.encoder,
        "results": list(ranked)
        if texts is None
        else [{**one, "document": {"text": texts[int(one["index"])]}} for one in ranked],
        "usage": {"prompt_tokens": took.tokens, "total_tokens": took.tokens},
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    }


async def _scored(
    request: Request, encoder: Encoder, choice: Choice, policy: Policy, asked: tuple[str, Sequence[str]]
) -> tuple[Scores, Took]:
    """The scores of a query's documents. Raises what ``run`` does."""
    started = time.perf_counter()
    query, texts = asked
    name, pairs = encoder.manifest.name, encoder.manifest.kind == "reranker"
    inputs: list[Input] = [Pair(query, text) for text in texts]
    if not pairs:
        inputs = [*with_prompt([query], "query", encoder), *with_prompt(texts, "document", encoder)]
    variant = Variant(choice.exit, choice.expert)
    embedding = truncation.embed(embedder_of(request), name, inputs, policy, variant)
    embedded = (await while_connected(request, embedding)).embedded
    given = embedded.answers
    scores = scored(embedded.vectors[:, 0]) if pairs else interacted(given[0], given[1:])
    return scores, Took(name, embedded, 0, time.perf_counter() - started)


def _choice(request: Request, choice: Choice) -> Choice:
    """The choice, with the only encoder that can rank where it names none. Raises NotOffered, BodyInvalid."""
    encoders = embedder_of(request).encoders
    ranking = [name for name, one in encoders.items() if one.manifest.kind in RANKING]
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


def _texts(body: RerankRequest) -> list[str]:
    """What is to be scored. Raises BodyInvalid unless it is named once."""
    if (body.texts is None) == (body.documents is None):
        raise BodyInvalid(
            "what is to be ranked must be given once",
            value="neither texts nor documents" if body.texts is None else "both texts and documents",
            next_step="Send texts as TEI does, or documents as vLLM and Cohere do.",
        )
    documents = body.documents or []
    return body.texts or [one if isinstance(one, str) else one.text for one in documents]


def _check_filled(query: str, texts: Sequence[str]) -> None:
    if not query:
        raise EmptyInput("the query is empty", next_step="Send at least one character.")
    if "" in texts:
        raise EmptyInput(
            "a document is empty",
            value=f"number {texts.index('') + 1} of {len(texts)}",
            next_step="Send at least one character of each, or leave it out.",
        )
