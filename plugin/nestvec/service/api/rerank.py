"""Reranking as TEI, vLLM, Cohere and Voyage AI call it: by a cross-encoder, or by late interaction."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, StrictBool

from nestvec.service.api.common import (
    embedder_of,
    json_response,
    rank_connected,
    selected_encoder,
)
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.selection import QueryString, body_config, requested_model, select_encoder
from nestvec.service.api.vllm import VllmFields
from nestvec.service.bodies.fields import Documents, NullableTexts, Text, TextDocument
from nestvec.service.bodies.foreign_fields import Returned
from nestvec.service.bodies.route import BodyRoute
from nestvec.service.embedder import EmbedOptions
from nestvec.service.embedding_result import EmbeddingResult
from nestvec.service.encoders import resolve_encoder
from nestvec.service.ranking import RankingTask, check_ranking
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import BodyInvalid, NotOffered
from nestvec_schemas.towers import OutputKind

router = APIRouter(tags=["Rerank"], route_class=BodyRoute)

RANKING_KINDS: Final[tuple[OutputKind, ...]] = ("reranker", "multivector")
"""The kinds of encoder that score a document with a query."""

AnswerFormat = Literal["tei", "sglang", "vllm", "cohere", "voyageai"]

FormatQuery = Annotated[
    AnswerFormat | None,
    Query(
        alias="format",
        description="Whose response to give; by default, the request's fields show it. Milvus's voyageai and "
        "sglang providers send the same fields as its cohere provider, and read another response.",
    ),
]


class RerankRequest(VllmFields):
    """``texts`` is TEI's field; ``documents`` is that of the others. Null and blank ones get the lowest
    score."""

    returned: ClassVar[Returned] = "scores"

    query: Text = Field(examples=["what is heat flow"])
    texts: NullableTexts | None = Field(None, description="The documents, for TEI.", examples=[["waves"]])
    documents: Documents | None = Field(None, description="The documents, for vLLM, Cohere and Voyage AI.")
    raw_scores: StrictBool = Field(
        False, description="Return logits, or sums of cosines, instead of scores from 0 to 1."
    )
    return_text: StrictBool = False
    return_documents: StrictBool | None = False
    model: str | None = Field(None, description="Encoder. Optional if the service has only one that ranks.")
    top_n: int | None = Field(
        None, ge=0, description="Return only this many of the best documents. Default, and 0: all."
    )
    top_k: int | None = Field(None, ge=1, description="The same, for Voyage AI.")
    truncates: StrictBool | None = Field(
        None, alias="truncation", description="Voyage AI's word for truncate."
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


class VoyageRank(BaseModel):
    index: int
    relevance_score: float
    document: str | None = None


class VoyageRerankResponse(BaseModel):
    object: Literal["list"]
    data: list[VoyageRank]
    model: str
    usage: dict[str, int]


@dataclass(frozen=True)
class _Ranking:
    """The documents of a response, the best first, independent of the API."""

    model: str
    best: Sequence[tuple[int, float]]
    """Index and score."""
    texts: Sequence[str] | None
    """The request's documents, if the response returns them."""
    result: EmbeddingResult


async def rerank_documents(
    body: RerankRequest, request: Request, query: QueryString, answer_format: FormatQuery = None
) -> Response:
    """Each document's score with the query, the best first. No score depends on the other documents.

    A cross-encoder's score is the sigmoid of its logit. A late-interaction encoder's is the mean, over the
    query's token vectors, of their largest cosine with the document's, rescaled from -1..1 to 0..1.
    """
    embedder, settings = embedder_of(request), embedder_of(request).settings
    texts, limit = _documents(body), _limit(body)
    check_ranking(body.query, texts)
    config = _select_ranking_encoder(request, select_encoder(query, body_config(body.model)))
    selected_encoder(request, config, *RANKING_KINDS)
    name = resolve_encoder(embedder.encoders, config.encoder)
    body = _with_truncation(body)
    options = EmbedOptions(config, body.truncation(query, settings), query.on_error or settings.on_error)
    task = RankingTask(name, body.query, texts, options, modality=query.modality)
    scores, result = await rank_connected(request, task)
    numbers = scores.raw if body.raw_scores or body.use_activation is False else scores.relevance
    best = [(index, float(numbers[index])) for index in scores.order(limit)]
    # vLLM's response always has the documents, and its clients may need them.
    is_returned = body.return_text or body.return_documents or answer_format == "vllm"
    returned = texts if is_returned else None
    ranking = _Ranking(requested_model(query, body.model) or name, best, returned, result)
    write = _RESPONSES[answer_format or _format_of(body)]
    return await json_response(lambda: write(ranking), result, [body.query, *texts])


for _path in ("/rerank", "/v1/rerank", "/v2/rerank"):
    router.post(
        _path,
        response_model=list[TeiRank] | RerankResponse | VoyageRerankResponse,
        summary="Rerank documents",
        responses=error_models(_path),
    )(rerank_documents)


def _format_of(body: RerankRequest) -> AnswerFormat:
    """Whose response fits the fields of a request."""
    if body.documents is None:
        return "tei"
    return "voyageai" if body.top_k is not None or body.truncates is not None else "cohere"


def _tei_response(ranking: _Ranking) -> object:
    texts = ranking.texts
    return [
        {"index": index, "score": score} | ({} if texts is None else {"text": texts[index]})
        for index, score in ranking.best
    ]


def _cohere_response(ranking: _Ranking) -> object:
    texts, tokens = ranking.texts, ranking.result.tokens
    return {
        "id": str(uuid.uuid4()),
        "model": ranking.model,
        "results": [
            {"index": index, "relevance_score": score}
            | ({} if texts is None else {"document": {"text": texts[index]}})
            for index, score in ranking.best
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    }


def _voyage_response(ranking: _Ranking) -> object:
    texts = ranking.texts
    return {
        "object": "list",
        "data": [
            {"index": index, "relevance_score": score} | ({} if texts is None else {"document": texts[index]})
            for index, score in ranking.best
        ],
        "model": ranking.model,
        "usage": {"total_tokens": ranking.result.tokens},
    }


_RESPONSES: Final[dict[AnswerFormat, Callable[[_Ranking], object]]] = {
    "tei": _tei_response,
    "sglang": _tei_response,
    "vllm": _cohere_response,
    "cohere": _cohere_response,
    "voyageai": _voyage_response,
}


def _with_truncation(body: RerankRequest) -> RerankRequest:
    """The request with TEI's ``truncate``, if it has Voyage AI's word for it."""
    if body.truncate is not None or body.truncates is None:
        return body
    return body.model_copy(update={"truncate": body.truncates})


def _select_ranking_encoder(request: Request, config: EmbeddingConfig) -> EmbeddingConfig:
    """The config, with the only encoder that can rank if none is named.

    Raises NotOffered.
    """
    encoders = embedder_of(request).encoders
    ranking = [name for name, encoder in encoders.items() if encoder.manifest.kind in RANKING_KINDS]
    if not ranking:
        raise NotOffered(
            "no encoder of this service scores a query with a document",
            value=", ".join(sorted(encoders)),
            next_step="Rank by longer vectors instead, or use a service that has a cross-encoder.",
        )
    if not config.encoder and len(ranking) == 1:
        return replace(config, encoder=ranking[0])
    return config


def _limit(body: RerankRequest) -> int | None:
    """How many documents to return, by either name; None for all. Raises BodyInvalid if they differ."""
    if body.top_n is not None and body.top_k not in (None, body.top_n):
        raise BodyInvalid(
            "the request names different numbers of documents to return",
            value=f"top_n={body.top_n}, top_k={body.top_k}",
            next_step="Name one of them.",
        )
    return body.top_n or body.top_k


def _documents(body: RerankRequest) -> list[str]:
    """The documents to score, a null one as an empty text. Raises BodyInvalid unless exactly one field has
    them."""
    if (body.texts is None) == (body.documents is None):
        raise BodyInvalid(
            "the documents to rank must be in exactly one field",
            value="neither texts nor documents" if body.texts is None else "both texts and documents",
            next_step="Send texts as TEI does, or documents as vLLM and Cohere do.",
        )
    # The body's reader gives texts alone, whatever the documents are.
    documents = body.texts if body.texts is not None else body.documents or []
    return [document for document in documents if isinstance(document, str)]
