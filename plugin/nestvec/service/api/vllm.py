"""vLLM's pooling APIs: ``/pooling`` for vectors of texts or of tokens, ``/score`` for a text with others.

Its ``/classify``, and ``/predict`` of text-embeddings-inference, are refused: no encoder classifies texts.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, StrictBool, model_validator

from nestvec.service.api.common import (
    EmbedCall,
    TruncationFields,
    as_input_list,
    check_special_tokens,
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
    QueryFields,
    QueryString,
    body_config,
    requested_model,
    select_encoder,
)
from nestvec.service.bodies.fields import Inputs, TextOrTexts
from nestvec.service.bodies.foreign_fields import Returned
from nestvec.service.bodies.route import BodyRoute
from nestvec.service.embedder import EmbedOptions
from nestvec.service.encoders import resolve_encoder
from nestvec.service.preprocess.truncation import Truncation
from nestvec.service.ranking import RankingTask
from nestvec.service.settings import ServiceSettings
from nestvec.service.vector_formats import base64_rows
from nestvec_schemas.errors import BodyInvalid, NotOffered
from nestvec_schemas.towers import OutputKind

router = APIRouter(tags=["vLLM"], responses=error_models("/pooling"), route_class=BodyRoute)

_SCORE_PATHS: Final = ("/score", "/v1/score")

_KIND_OF_TASK: Final[dict[str | None, tuple[OutputKind, ...]]] = {
    None: ("dense", "multivector"),
    "embed": ("dense",),
    "token_embed": ("multivector",),
}
"""The kinds of encoder that give what each of vLLM's tasks means."""


class VllmFields(TruncationFields):
    """The fields of all of vLLM's requests that change what it returns; others are ignored."""

    truncate_prompt_tokens: int | None = Field(
        None, ge=-1, description="From vLLM: any number truncates texts to what the encoder takes."
    )
    truncation_side: Literal["left", "right"] | None = Field(
        None, description="From vLLM: the same as truncation_direction."
    )
    use_activation: StrictBool | None = Field(
        None, description="From vLLM: false for vectors that are not normalised, and for raw scores."
    )
    normalize: StrictBool | None = Field(None, description="Not supported, nor by vLLM: send use_activation.")
    add_special_tokens: StrictBool = Field(True, description="Only true is supported.")

    @model_validator(mode="after")
    def refuse_unsupported_fields(self) -> VllmFields:
        """Raise BodyInvalid for fields that would be ignored, and for two sides of truncation."""
        if self.normalize is not None:
            raise BodyInvalid(
                "vectors are normalised or not by use_activation",
                value=f"normalize={self.normalize}",
                next_step="Send use_activation.",
            )
        check_special_tokens(self.add_special_tokens)
        direction = self.truncation_direction
        if self.truncation_side and direction and direction.lower() != self.truncation_side:
            raise BodyInvalid(
                "the request names different sides of truncation",
                value=f"truncation_side={self.truncation_side}, truncation_direction={direction}",
                next_step="Name one of them.",
            )
        return self

    def truncation(self, query: QueryFields, server: ServiceSettings) -> Truncation:
        truncation = super().truncation(query, server)
        if self.truncate_prompt_tokens is not None and self.truncate is None and query.overlong is None:
            truncation = replace(truncation, overlong="truncate")
        return replace(truncation, direction=truncation.direction or self.truncation_side)


class PoolingRequest(VllmFields):
    """vLLM's request; ``model`` is ENCODER or ENCODER@EXPERT@EXIT?prompt=NAME."""

    input: Annotated[
        Inputs,
        Field(description="A text or texts; token ids only if the service runs with --accept-token-ids."),
    ]
    model: str | None = Field(None, description=ENCODER_DESCRIPTION)
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="float (the default), or base64 of little-endian float32."
    )
    embed_dtype: Literal["float32"] | None = Field(None, description="The type of numbers in base64.")
    endianness: Literal["native", "little"] | None = Field(None, description="Of numbers in base64.")
    dimensions: int | None = Field(None, description=DIM_DESCRIPTION)
    task: str | None = Field(
        None,
        description="embed for a vector of each text, token_embed for one of each token. Default: what the "
        "encoder gives.",
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


class ScoreRequest(VllmFields):
    """vLLM's request: one text, as ``text_1``, ``queries`` or ``data_1``, with others, as ``text_2``,
    ``documents``, ``items`` or ``data_2``."""

    returned: ClassVar[Returned] = "scores"

    model: str | None = Field(None, description=ENCODER_DESCRIPTION)
    text_1: TextOrTexts | None = Field(None, description="One text.", examples=["what is heat flow"])
    text_2: TextOrTexts | None = Field(None, description="A text or texts.", examples=[["waves"]])
    queries: TextOrTexts | None = Field(None, description="The same as text_1.")
    documents: TextOrTexts | None = Field(None, description="The same as text_2.")
    items: TextOrTexts | None = Field(None, description="The same as text_2.")
    data_1: TextOrTexts | None = Field(None, description="The same as text_1.")
    data_2: TextOrTexts | None = Field(None, description="The same as text_2.")


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
    config = select_encoder(query, body_config(body.model, body.dimensions))
    kind = selected_encoder(request, config, *_kinds(body.task)).manifest.kind
    if kind == "multivector" and body.use_activation is False:
        raise BodyInvalid(
            "the encoder's token vectors are normalised",
            value="use_activation=false",
            next_step="Omit it, or name an encoder with one vector for a text.",
        )
    call = EmbedCall(
        inputs=inputs,
        config=config,
        truncation=body.truncation(query, settings),
        on_error=query.on_error or settings.on_error,
        modality=query.modality,
        normalised=body.use_activation,
    )
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
    config = select_encoder(query, body_config(body.model))
    name = resolve_encoder(embedder.encoders, config.encoder)
    options = EmbedOptions(config, body.truncation(query, settings), query.on_error or settings.on_error)
    task = RankingTask(name, first, others, options, modality=query.modality)
    scores, result = await score_connected(request, task, raw=body.use_activation is False)

    def content() -> object:
        data = [
            {"object": "score", "index": place, "score": float(score)} for place, score in enumerate(scores)
        ]
        return _envelope("score", requested_model(query, body.model) or name, data, result.tokens)

    return await json_response(content, result, [first, *others])


for _path in _SCORE_PATHS:
    router.post(_path, response_model=ScoreResponse, summary="Score texts")(score_texts)


async def classify(request: Request) -> Response:
    """Always an error: no encoder classifies texts."""
    raise NotOffered(
        "no encoder of this service classifies texts",
        value=request.url.path,
        next_step="Score a text with others by /score or /rerank, or embed it by /embed.",
    )


for _path in ("/classify", "/predict"):
    router.post(_path, include_in_schema=False)(classify)


def _envelope(kind: str, model: str, data: list[dict[str, Any]], tokens: int) -> dict[str, Any]:
    return {
        "id": f"{kind}-{uuid.uuid4().hex}",
        "object": "list",
        "created": int(time.time()),
        "model": model,
        "data": data,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _kinds(task: str | None) -> tuple[OutputKind, ...]:
    """The kinds of encoder that are meant. Raises BodyInvalid for a task that no encoder has."""
    if task in _KIND_OF_TASK:
        return _KIND_OF_TASK[task]
    raise BodyInvalid(
        "this path does not have the task",
        value=task,
        next_step="Send embed or token_embed, or score texts with /score.",
    )


def _texts(body: ScoreRequest) -> tuple[str, list[str]]:
    """The text to compare, and the others. Raises BodyInvalid."""
    first = _only_field({"text_1": body.text_1, "queries": body.queries, "data_1": body.data_1})
    others = _only_field(
        {"text_2": body.text_2, "documents": body.documents, "items": body.items, "data_2": body.data_2}
    )
    firsts = [first] if isinstance(first, str) else first
    if len(firsts) != 1:
        raise BodyInvalid(
            "only one text is scored with others in a request",
            value=f"{len(firsts)} texts",
            next_step="Send a request for each of them.",
        )
    return firsts[0], [others] if isinstance(others, str) else others


def _only_field(values: Mapping[str, str | list[str] | None]) -> str | list[str]:
    """The value of one side of a score, by whichever of its names it has. Raises BodyInvalid."""
    named = {name: value for name, value in values.items() if value is not None}
    if len(named) > 1:
        raise BodyInvalid(
            "the texts to score are in two fields",
            value=f"{' and '.join(named)} mean the same",
            next_step="Send text_1 and text_2, or queries and documents.",
        )
    if not named:
        raise BodyInvalid(
            "there is nothing to score",
            value="one of the two texts is missing",
            next_step="Send text_1 and text_2, or queries and documents.",
        )
    return next(iter(named.values()))
