"""vLLM's pooling APIs: ``/pooling`` for vectors of texts or of tokens, ``/score`` for a text with others."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from nestvec.service.api.common import (
    EmbedCall,
    TruncationFields,
    as_input_list,
    embed_dense,
    embed_tokens,
    embedder_of,
    json_response,
    refuse_token_ids,
    score_connected,
    selected_encoder,
)
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.openai import Usage
from nestvec.service.api.selection import (
    DIM_DESCRIPTION,
    ENCODER_DESCRIPTION,
    QueryString,
    requested_model,
    select_encoder,
)
from nestvec.service.bodies.fields import Inputs, TextOrTexts
from nestvec.service.bodies.route import BodyRoute
from nestvec.service.embedder import EmbedOptions
from nestvec.service.encoders import resolve_encoder
from nestvec.service.preprocess.truncation import Truncation
from nestvec.service.ranking import RankingTask
from nestvec.service.vector_formats import base64_rows
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import BodyInvalid

router = APIRouter(tags=["vLLM"], responses=error_models("/pooling"), route_class=BodyRoute)

_SCORE_PATHS: Final = ("/score", "/v1/score")


class PoolingRequest(TruncationFields):
    """vLLM's request; ``model`` is ENCODER or ENCODER@EXPERT@EXIT?prompt=NAME."""

    input: Annotated[
        Inputs,
        Field(description="A text or texts; token ids only if the service runs with --accept-token-ids."),
    ]
    model: str | None = Field(None, description=ENCODER_DESCRIPTION)
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="float (the default), or base64 of little-endian float32."
    )
    dimensions: int | None = Field(None, description=DIM_DESCRIPTION)
    truncate_prompt_tokens: int | None = Field(
        None, ge=-1, description="Any number truncates texts to what the encoder takes."
    )


class PooledObject(BaseModel):
    object: Literal["pooling"]
    index: int
    data: list[float] | list[list[float]] | str


class PoolingResponse(BaseModel):
    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[PooledObject]
    usage: Usage


class ScoreRequest(TruncationFields):
    """vLLM's request: one text, as ``text_1`` or ``queries``, with others, as ``text_2`` or ``documents``."""

    model: str | None = Field(None, description=ENCODER_DESCRIPTION)
    text_1: TextOrTexts | None = Field(None, description="One text.", examples=["what is heat flow"])
    text_2: TextOrTexts | None = Field(None, description="A text or texts.", examples=[["waves"]])
    queries: TextOrTexts | None = Field(None, description="The same as text_1.")
    documents: TextOrTexts | None = Field(None, description="The same as text_2.")
    truncate_prompt_tokens: int | None = Field(
        None, ge=-1, description="Any number truncates texts to what the encoder takes."
    )


class ScoredObject(BaseModel):
    object: Literal["score"]
    index: int
    score: float


class ScoreResponse(BaseModel):
    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[ScoredObject]
    usage: Usage


@router.post("/pooling", response_model=PoolingResponse, summary="Embed texts")
async def pool_texts(body: PoolingRequest, request: Request, query: QueryString) -> Response:
    """A vector for each text, or by an encoder for late interaction one for each of its tokens, as those of a
    document."""
    settings = embedder_of(request).settings
    inputs = as_input_list(body.input)
    refuse_token_ids(inputs, settings)
    config = select_encoder(query, EmbeddingConfig(body.model or "", body.dimensions))
    call = EmbedCall(
        inputs=inputs,
        config=config,
        truncation=_truncation(body, body.truncation(query, settings)),
        on_error=query.on_error or settings.on_error,
    )
    kind = selected_encoder(request, config, "dense", "multivector").manifest.kind
    result = await (embed_dense if kind == "dense" else embed_tokens)(request, call)

    def content() -> object:
        base64 = body.encoding_format == "base64"
        data = [
            {
                "object": "pooling",
                "index": place,
                "data": base64_rows(output.reshape(1, -1))[0] if base64 else output,
            }
            for place, output in enumerate(result.outputs)
        ]
        model = requested_model(query, body.model) or result.encoder
        return _envelope("pool", model, data, result.tokens)

    return await json_response(content, result, inputs)


async def score_texts(body: ScoreRequest, request: Request, query: QueryString) -> Response:
    """The score of each text with the first, in their order, as ``/rerank`` gives it; of a dense encoder the
    cosine."""
    embedder, settings = embedder_of(request), embedder_of(request).settings
    first, others = _texts(body)
    config = select_encoder(query, EmbeddingConfig(body.model or ""))
    name = resolve_encoder(embedder.encoders, config.encoder)
    truncation = _truncation(body, body.truncation(query, settings))
    options = EmbedOptions(config, truncation, query.on_error or settings.on_error)
    scores, result = await score_connected(request, RankingTask(name, first, others, options))

    def content() -> object:
        data = [
            {"object": "score", "index": place, "score": float(score)} for place, score in enumerate(scores)
        ]
        return _envelope("score", requested_model(query, body.model) or name, data, result.tokens)

    return await json_response(content, result, [first, *others])


for _path in _SCORE_PATHS:
    router.post(_path, response_model=ScoreResponse, summary="Score texts")(score_texts)


def _envelope(kind: str, model: str, data: list[dict[str, Any]], tokens: int) -> dict[str, Any]:
    return {
        "id": f"{kind}-{uuid.uuid4().hex}",
        "object": "list",
        "created": int(time.time()),
        "model": model,
        "data": data,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _truncation(body: PoolingRequest | ScoreRequest, truncation: Truncation) -> Truncation:
    if body.truncate is None and body.truncate_prompt_tokens is not None:
        return replace(truncation, overlong="truncate")
    return truncation


def _texts(body: ScoreRequest) -> tuple[str, list[str]]:
    """The text to compare, and the others. Raises BodyInvalid."""
    if (body.text_1 is not None and body.queries is not None) or (
        body.text_2 is not None and body.documents is not None
    ):
        raise BodyInvalid(
            "the texts to score are in two fields",
            value="text_1 and queries are one, text_2 and documents the other",
            next_step="Send text_1 and text_2, or queries and documents.",
        )
    first = body.text_1 if body.text_1 is not None else body.queries
    others = body.text_2 if body.text_2 is not None else body.documents
    if first is None or others is None:
        raise BodyInvalid(
            "there is nothing to score",
            value="one of the two texts is missing",
            next_step="Send text_1 and text_2, or queries and documents.",
        )
    firsts = [first] if isinstance(first, str) else first
    if len(firsts) != 1:
        raise BodyInvalid(
            "only one text is scored with others in a request",
            value=f"{len(firsts)} texts",
            next_step="Send a request for each of them.",
        )
    return firsts[0], [others] if isinstance(others, str) else others
