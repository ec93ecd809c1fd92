"""Cohere's v2 embed API, as its client and Milvus's ``cohere`` provider call it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from nestvec.images import is_address
from nestvec.service.api.common import (
    EmbedCall,
    embed_dense,
    embedder_of,
    json_response,
    selected_encoder,
)
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.openai import base64_rows
from nestvec.service.api.selection import (
    DIM_DESCRIPTION,
    ENCODER_DESCRIPTION,
    EXIT_DESCRIPTION,
    QueryString,
    select_encoder,
)
from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.tokenizer import Direction
from nestvec.service.preprocess.truncation import Overlong, Truncation
from nestvec.service.prompts import NO_PROMPT, prompt_for_task
from nestvec_schemas.binary_codes import sign_bits
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import BodyInvalid, NotOffered, nearest
from nestvec_schemas.manifest import Manifest, PromptName
from nestvec_schemas.towers import Role
from nestvec_schemas.vectors import Vectors, to_int8

router = APIRouter(tags=["Cohere"], responses=error_models("/v2/embed"))

InputType = Literal["search_document", "search_query", "classification", "clustering", "image"]

ROLE_OF_TYPE: Final[dict[InputType, Role]] = {"search_document": "document", "search_query": "query"}
"""The role of an input type's prompt; prompts of tasks have the types' own names, and images have none."""

VECTOR_FORMATS: Final[dict[str, Callable[[Vectors], object]]] = {
    "float": lambda vectors: vectors,
    "int8": to_int8,
    "ubinary": sign_bits,
    "binary": lambda vectors: (sign_bits(vectors).astype(np.int16) - 128).astype(np.int8),
    "base64": base64_rows,
}
"""How vectors, (n, dim) float32, are written in each embedding type; ``binary`` is ``ubinary`` minus 128."""

TRUNCATE_VALUES: Final[dict[str | None, tuple[Overlong | None, Direction | None]]] = {
    None: (None, None),
    "NONE": ("error", None),
    "END": ("truncate", "right"),
    "START": ("truncate", "left"),
}
"""What happens to overlong texts for each value of Cohere's ``truncate``."""


class CohereEmbedRequest(BaseModel):
    """Cohere's request; ``model`` is ENCODER or ENCODER@EXPERT@EXIT?prompt=NAME, unless the query string
    names one."""

    model: str | None = Field(None, description=ENCODER_DESCRIPTION)
    texts: Annotated[list[str], Field(examples=[["heat flow in shock waves"]])] = []
    images: list[str] | None = Field(
        None, description="Images instead of texts: data: URIs, or addresses that the service can read."
    )
    inputs: list[Any] | None = Field(None, description="Not supported: send texts or images.")
    input_type: InputType = Field(
        description="Selects the encoder's prompt: of documents, of queries, or of the task of this name."
    )
    embedding_types: list[str] | None = Field(
        None, description="float (the default), int8, base64, or one bit per number: ubinary, binary."
    )
    truncate: Literal["NONE", "START", "END"] | None = Field(
        None, description="The side on which overlong texts are truncated. Default: the server's setting."
    )
    output_dimension: int | None = Field(None, description=DIM_DESCRIPTION)
    exit: int | None = Field(None, description=EXIT_DESCRIPTION)


class CohereEmbedResponse(BaseModel):
    id: str
    response_type: Literal["embeddings_by_type"]
    embeddings: dict[str, list[Any]]
    meta: dict[str, Any]


@router.post("/v2/embed", response_model=CohereEmbedResponse, summary="Embed texts or images")
async def embed_by_type(body: CohereEmbedRequest, request: Request, query: QueryString) -> Response:
    """Vectors, one per text or image, in each of the embedding types."""
    settings = embedder_of(request).settings
    config = EmbeddingConfig(body.model or "", body.output_dimension, body.exit)
    config = select_encoder(query, config, dim_name="output_dimension")
    types = _checked_types(body.embedding_types or ["float"])
    inputs = body.texts
    if _asks_for_images(body):
        inputs = _image_addresses(body, selected_encoder(request, config, "dense"))
    overlong, direction = TRUNCATE_VALUES[body.truncate]
    call = EmbedCall(
        inputs=inputs,
        config=config,
        truncation=Truncation(query.overlong or overlong or settings.overlong, direction),
        on_error=query.on_error or settings.on_error,
        prompt=_prompt(body.input_type, selected_encoder(request, config, "dense").manifest, config),
    )
    result = await embed_dense(request, call)

    def content() -> object:
        return {
            "id": str(uuid.uuid4()),
            "response_type": "embeddings_by_type",
            "embeddings": {name: VECTOR_FORMATS[name](result.vectors) for name in types},
            "meta": {"api_version": {"version": "2"}, "billed_units": _billed_units(body, result.tokens)},
        }

    return await json_response(content, result, call.inputs)


def _prompt(type: InputType, manifest: Manifest, config: EmbeddingConfig) -> PromptName | None:
    """The prompt for an input type. Raises PromptNotOffered."""
    if type in ROLE_OF_TYPE:
        return ROLE_OF_TYPE[type]
    if type == "image":
        return NO_PROMPT
    # Requests must state an input type: a prompt that is named beside it takes precedence.
    return prompt_for_task(manifest, type) if config.prompt is None else None


def _asks_for_images(body: CohereEmbedRequest) -> bool:
    """Whether the inputs are images. Raises NotOffered for a mixture."""
    if body.inputs or (body.images and body.texts):
        raise NotOffered(
            "a request has either texts or images, and mixed inputs are not supported",
            next_step="Send texts, or images with input_type image.",
        )
    return bool(body.images) or body.input_type == "image"


def _image_addresses(body: CohereEmbedRequest, encoder: LoadedEncoder) -> list[str]:
    """The addresses of a request's images. Raises NotOffered, BodyInvalid."""
    name = encoder.manifest.name
    if not encoder.reads_images:
        raise NotOffered(f"{name} takes no images", next_step="Send texts, or name an encoder that does.")
    images = body.images or []
    for place, address in enumerate(images, 1):
        if not is_address(address):
            raise BodyInvalid(
                f"image {place} of {len(images)} is not the address of an image",
                value=f"a text of {len(address)} characters",
                next_step="Send data:image/png;base64,… or another address that the service can read.",
            )
    return images


def _billed_units(body: CohereEmbedRequest, tokens: int) -> dict[str, int]:
    return {"images": len(body.images)} if body.images else {"input_tokens": tokens}


def _checked_types(types: list[str]) -> list[str]:
    """The embedding types, each once. Raises BodyInvalid for an unknown one."""
    for name in types:
        if name not in VECTOR_FORMATS:
            raise BodyInvalid(
                "there is no such embedding type",
                value=name,
                next_step=f"Available: {', '.join(VECTOR_FORMATS)}.{nearest(name, VECTOR_FORMATS)}",
            )
    return list(dict.fromkeys(types))
