"""The face of Cohere's v2 embed, as its client and Milvus's ``cohere`` provider call it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from nestvec.images import is_address
from nestvec.service.api.common import (
    EmbedCall,
    embed_dense,
    embedder_of,
    json_response,
    policy_of,
    selected_encoder,
)
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.openai import base64_rows
from nestvec.service.api.selection import EXIT_DESCRIPTION, BodyFields, QueryString, select_encoder
from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.tokenizer import Direction
from nestvec.service.settings import Overlong
from nestvec_schemas.binary_codes import sign_bits
from nestvec_schemas.errors import BodyInvalid, NotOffered, nearest
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.vectors import Vectors, to_int8

router = APIRouter(tags=["Cohere"], responses=error_models("/v2/embed"))

InputType = Literal["search_document", "search_query", "classification", "clustering", "image"]

PROMPTS: dict[InputType, PromptName] = {"search_document": "document", "search_query": "query"}
"""Which of the encoder's prompts an input type stands for; the others have none."""

VECTOR_FORMATS: dict[str, Callable[[Vectors], object]] = {
    "float": lambda vectors: vectors,
    "int8": to_int8,
    "ubinary": sign_bits,
    "binary": lambda vectors: (sign_bits(vectors).astype(np.int16) - 128).astype(np.int8),
    "base64": base64_rows,
}
"""How vectors, (n, dim) float32, are written in each embedding type; ``binary`` is ``ubinary`` less 128."""

TRUNCATION_BY_WORD: dict[str | None, tuple[Overlong | None, Direction]] = {
    None: (None, "right"),
    "NONE": ("error", "right"),
    "END": ("truncate", "right"),
    "START": ("truncate", "left"),
}
"""What becomes of overlong texts, in Cohere's words."""


class CohereEmbedRequest(BaseModel):
    """Cohere's request; ``model`` is ENCODER or ENCODER@EXPERT@EXIT, unless the query string names one."""

    model: str | None = Field(None, description="Encoder; not needed where there is one.")
    texts: Annotated[list[str], Field(examples=[["heat flow in shock waves"]])] = []
    images: list[str] | None = Field(
        None, description="Pictures in place of texts: data: URIs, or addresses that the service reads."
    )
    inputs: list[Any] | None = Field(None, description="Not offered: send texts or images.")
    input_type: InputType = Field(description="Chooses the encoder's prompt.")
    embedding_types: list[str] | None = Field(
        None, description="float (the default), int8, base64, or a bit a number: ubinary, binary."
    )
    truncate: Literal["NONE", "START", "END"] | None = Field(
        None, description="The side that is cut of overlong texts (else the server's default)."
    )
    output_dimension: int | None = Field(None, description="First so many numbers of each vector.")
    exit: int | None = Field(None, description=EXIT_DESCRIPTION)


class CohereEmbedResponse(BaseModel):
    id: str
    response_type: Literal["embeddings_by_type"]
    embeddings: dict[str, list[Any]]
    meta: dict[str, Any]


@router.post("/v2/embed", response_model=CohereEmbedResponse, summary="Embed texts or pictures")
async def embed(body: CohereEmbedRequest, request: Request, query: QueryString) -> Response:
    """Vectors, one per text or picture, in each of the embedding types."""
    embedder = embedder_of(request)
    choice = select_encoder(
        query, BodyFields(body.model, body.output_dimension, body.exit, "output_dimension")
    )
    types = _checked_types(body.embedding_types or ["float"])
    ask = EmbedCall(
        inputs=_image_addresses(body, selected_encoder(request, choice, "dense"))
        if _asks_for_images(body)
        else body.texts,
        choice=choice,
        policy=policy_of(query, embedder.settings, *TRUNCATION_BY_WORD[body.truncate]),
        prompt=PROMPTS.get(body.input_type),
    )
    result = await embed_dense(request, ask)
    answered = {
        "id": str(uuid.uuid4()),
        "response_type": "embeddings_by_type",
        "embeddings": {name: VECTOR_FORMATS[name](result.vectors) for name in types},
        "meta": {"api_version": {"version": "2"}, "billed_units": _billed_units(body, result.took.tokens)},
    }
    return json_response(answered, result.took, ask.inputs)


def _asks_for_images(body: CohereEmbedRequest) -> bool:
    """Whether it asks about pictures. Raises NotOffered for a mixture."""
    if body.inputs or (body.images and body.texts):
        raise NotOffered(
            "an input is a text or a picture here, and a request has one kind of them",
            next_step="Send texts, or images with input_type image.",
        )
    return bool(body.images) or body.input_type == "image"


def _image_addresses(body: CohereEmbedRequest, encoder: LoadedEncoder) -> list[str]:
    """The addresses of a request's pictures. Raises NotOffered, BodyInvalid."""
    name = encoder.manifest.name
    if "image" not in encoder.manifest.towers and encoder.chat is None:
        raise NotOffered(f"{name} takes no pictures", next_step="Send texts, or name an encoder that does.")
    images = body.images or []
    for place, address in enumerate(images, 1):
        if not is_address(address):
            raise BodyInvalid(
                f"image {place} of {len(images)} is not the address of a picture",
                value=f"a text of {len(address)} characters",
                next_step="Send data:image/png;base64,… or another address that the service reads.",
            )
    return images


def _billed_units(body: CohereEmbedRequest, tokens: int) -> dict[str, int]:
    return {"images": len(body.images)} if body.images else {"input_tokens": tokens}


def _checked_types(types: list[str]) -> list[str]:
    """The embedding types, each once. Raises BodyInvalid for one that is not offered."""
    for name in types:
        if name not in VECTOR_FORMATS:
            raise BodyInvalid(
                "vectors are not offered in this embedding type",
                value=name,
                next_step=f"Ask for {', '.join(VECTOR_FORMATS)}.{nearest(name, VECTOR_FORMATS)}",
            )
    return list(dict.fromkeys(types))
