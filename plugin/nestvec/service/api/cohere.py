"""Cohere's embed API: v2 for its client and Milvus's ``cohere`` provider, v1 for LangChain."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, cast

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from nestvec.service.api.common import (
    EmbedCall,
    embed_dense,
    embedder_of,
    json_response,
    selected_encoder,
)
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.request_model import ApiRequest
from nestvec.service.api.selection import (
    DIM_DESCRIPTION,
    ENCODER_DESCRIPTION,
    EXIT_DESCRIPTION,
    QueryFields,
    QueryString,
    select_encoder,
)
from nestvec.service.bodies.contents import Contents
from nestvec.service.bodies.fields import Texts
from nestvec.service.bodies.route import BodyRoute
from nestvec.service.embedding_result import EmbeddingResult
from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.inputs import InputPart
from nestvec.service.preprocess.modality import Modalities, join_parts
from nestvec.service.preprocess.tokenizer import Direction
from nestvec.service.preprocess.truncation import Overlong, Truncation
from nestvec.service.prompts import NO_PROMPT, prompt_for_task
from nestvec.service.vector_formats import DTYPES, base64_rows, check_format
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import BodyInvalid, NotOffered
from nestvec_schemas.manifest import Manifest, PromptName
from nestvec_schemas.towers import Role
from nestvec_schemas.vectors import Vectors

router = APIRouter(tags=["Cohere"], responses=error_models("/v2/embed"), route_class=BodyRoute)

InputType = Literal["search_document", "search_query", "classification", "clustering", "image"]

ROLE_OF_TYPE: Final[dict[InputType, Role]] = {"search_document": "document", "search_query": "query"}
"""The role of an input type's prompt; prompts of tasks have the types' own names, and images have none."""

VECTOR_FORMATS: Final[dict[str, Callable[[Vectors], object]]] = {**DTYPES, "base64": base64_rows}
"""How vectors, (n, dim) float32, are written in each embedding type."""

TRUNCATE_VALUES: Final[dict[str | None, tuple[Overlong | None, Direction | None]]] = {
    None: (None, None),
    "NONE": ("error", None),
    "END": ("truncate", "right"),
    "START": ("truncate", "left"),
}
"""What happens to overlong texts for each value of Cohere's ``truncate``."""


class CohereEmbedRequest(ApiRequest):
    """Cohere's request; ``model`` is ENCODER or ENCODER@EXPERT@EXIT?prompt=NAME, unless the query string
    names one."""

    model: str | None = Field(None, description=ENCODER_DESCRIPTION)
    texts: Annotated[Texts | None, Field(examples=[["heat flow in shock waves"]])] = None
    images: Texts | None = Field(
        None, description="Images instead of texts: data: URIs, or addresses that the service can read."
    )
    inputs: Contents | None = Field(
        None,
        description="Texts and images: of each input one part, or for a vision-language model a text and an "
        "image.",
    )
    input_type: InputType | None = Field(
        None,
        description="Selects the encoder's prompt: of documents, of queries, or of the task of this name. "
        "Default: the encoder's default prompt.",
    )
    embedding_types: list[str] | None = Field(
        None,
        description="float (the default), int8, uint8, base64, or one bit per number: ubinary, binary.",
    )
    truncate: Literal["NONE", "START", "END"] | None = Field(
        None, description="The side on which overlong texts are truncated. Default: the server's setting."
    )
    max_tokens: int | None = Field(
        None,
        description="Tokens to embed of each text. Fewer than the encoder takes are refused.",
    )
    output_dimension: int | None = Field(None, description=DIM_DESCRIPTION)
    exit: int | None = Field(None, description=EXIT_DESCRIPTION)


class CohereEmbedResponse(BaseModel):
    id: str
    response_type: Literal["embeddings_by_type"]
    embeddings: dict[str, list[Any]]
    meta: dict[str, Any]


class CohereV1EmbedResponse(BaseModel):
    """Vectors in a list without ``embedding_types``, else by type."""

    id: str
    response_type: Literal["embeddings_floats", "embeddings_by_type"]
    embeddings: list[list[float]] | dict[str, list[Any]]
    texts: list[str]
    meta: dict[str, Any]


@router.post("/v2/embed", response_model=CohereEmbedResponse, summary="Embed texts or images")
async def embed_by_type(body: CohereEmbedRequest, request: Request, query: QueryString) -> Response:
    """Vectors, one per text or image, in each of the embedding types."""
    types = _checked_types(body.embedding_types or ["float"])
    result = await _embed(body, request, query)

    def content() -> object:
        return {
            "id": str(uuid.uuid4()),
            "response_type": "embeddings_by_type",
            "embeddings": {name: VECTOR_FORMATS[name](result.vectors) for name in types},
            "meta": _meta(body, result, "2"),
        }

    return await json_response(content, result, body.texts or [])


@router.post("/v1/embed", response_model=CohereV1EmbedResponse, summary="Embed texts or images")
async def embed_for_v1(body: CohereEmbedRequest, request: Request, query: QueryString) -> Response:
    """Vectors, one per text or image: as one list, or by type if the request names embedding types."""
    types = _checked_types(body.embedding_types or [])
    result = await _embed(body, request, query)

    def content() -> object:
        by_type = {name: VECTOR_FORMATS[name](result.vectors) for name in types}
        return {
            "id": str(uuid.uuid4()),
            "response_type": "embeddings_by_type" if types else "embeddings_floats",
            "embeddings": by_type if types else result.vectors,
            "texts": body.texts or [],
            "meta": _meta(body, result, "1"),
        }

    return await json_response(content, result, body.texts or [])


async def _embed(body: CohereEmbedRequest, request: Request, query: QueryFields) -> EmbeddingResult:
    settings = embedder_of(request).settings
    config = EmbeddingConfig(body.model or "", body.output_dimension, body.exit)
    config = select_encoder(query, config, dim_name="output_dimension")
    encoder = selected_encoder(request, config, "dense")
    _check_max_tokens(body.max_tokens, encoder.manifest)
    overlong, direction = TRUNCATE_VALUES[body.truncate]
    inputs, modality = _inputs(body, encoder)
    call = EmbedCall(
        inputs=inputs,
        config=config,
        truncation=Truncation(query.overlong or overlong or settings.overlong, direction),
        on_error=query.on_error or settings.on_error,
        modality=query.select_modality(modality),
        prompt=_prompt(body.input_type, encoder.manifest, config),
    )
    return await embed_dense(request, call)


def _check_max_tokens(max_tokens: int | None, manifest: Manifest) -> None:
    """Raise BodyInvalid for fewer tokens than the encoder takes: the vectors would be others than meant."""
    limit = manifest.main_tower.max_tokens
    if max_tokens is not None and max_tokens < limit:
        raise BodyInvalid(
            f"texts are not cut to fewer tokens than {manifest.name} takes",
            value=f"max_tokens={max_tokens}",
            next_step=f"Leave the field out, send at least {limit}, or send shorter texts.",
        )


def _prompt(type: InputType | None, manifest: Manifest, config: EmbeddingConfig) -> PromptName | None:
    """The prompt for an input type, None for the encoder's default. Raises PromptNotOffered."""
    if type is None:
        return None
    if type in ROLE_OF_TYPE:
        return ROLE_OF_TYPE[type]
    if type == "image":
        return NO_PROMPT
    # Cohere's clients always state an input type: a prompt that is named beside it takes precedence.
    return prompt_for_task(manifest, type) if config.prompt is None else None


def _inputs(body: CohereEmbedRequest, encoder: LoadedEncoder) -> tuple[list[str], Modalities]:
    """The inputs, and what they are. Raises NotOffered for several fields, and what ``join_parts`` does."""
    if sum(map(bool, (body.texts, body.images, body.inputs))) > 1:
        raise NotOffered(
            "a request has either texts, images or inputs",
            next_step="Send one of these fields; inputs may have both texts and images.",
        )
    if body.inputs:
        # The body's reader gives the parts of each input.
        joined = [join_parts(cast(list[InputPart], parts), encoder) for parts in body.inputs]
        return [value for value, _ in joined], [modality for _, modality in joined]
    if body.images or body.input_type == "image":
        return body.images or [], "image"
    return body.texts or [], None


def _meta(body: CohereEmbedRequest, result: EmbeddingResult, version: str) -> dict[str, Any]:
    units = {"images": len(body.images)} if body.images else {"input_tokens": result.tokens}
    return {"api_version": {"version": version}, "billed_units": units}


def _checked_types(types: list[str]) -> list[str]:
    """The embedding types, each once. Raises BodyInvalid for an unknown one."""
    return [check_format(name, VECTOR_FORMATS, "embedding type") for name in dict.fromkeys(types)]
