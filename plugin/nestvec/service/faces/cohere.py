"""The face of Cohere's v2 embed, as its client and Milvus's ``cohere`` provider call it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from nestvec.service.faces.call import Ask, answer, embedder_of, policy_of, written
from nestvec.service.faces.choice import ABOUT_EXIT, InBody, QueryString, choose_from
from nestvec.service.faces.openai import base64_rows
from nestvec.service.problems import refusals
from nestvec.service.settings import Overlong
from nestvec.service.tokens import Direction
from nestvec_schemas.compressed import sign_bits
from nestvec_schemas.errors import BodyInvalid, NotOffered, nearest
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.vectors import Vectors, to_int8

router = APIRouter(tags=["Cohere"], responses=refusals("/v2/embed"))

InputType = Literal["search_document", "search_query", "classification", "clustering", "image"]

PROMPTS: dict[InputType, PromptName] = {"search_document": "document", "search_query": "query"}
"""Which of the encoder's prompts an input type stands for; the others have none."""

WRITERS: dict[str, Callable[[Vectors], object]] = {
    "float": lambda vectors: vectors,
    "int8": to_int8,
    "ubinary": sign_bits,
    "binary": lambda vectors: (sign_bits(vectors).astype(np.int16) - 128).astype(np.int8),
    "base64": base64_rows,
}
"""How vectors, (n, dim) float32, are written in each embedding type; ``binary`` is ``ubinary`` less 128."""

TRUNCATE: dict[str | None, tuple[Overlong | None, Direction]] = {
    None: (None, "right"),
    "NONE": ("error", "right"),
    "END": ("truncate", "right"),
    "START": ("truncate", "left"),
}
"""What becomes of overlong texts, in Cohere's words."""


class CohereEmbedRequest(BaseModel):
    """Cohere's request; ``model`` is the encoder (or ``ENCODER@EXIT``), unless the query string names one."""

    model: str | None = Field(None, description="Encoder; not needed where there is one.")
    texts: Annotated[list[str], Field(examples=[["heat flow in shock waves"]])] = []
    images: list[Any] | None = Field(None, description="Not offered.")
    inputs: list[Any] | None = Field(None, description="Not offered: send texts.")
    input_type: InputType = Field(description="Chooses the encoder's prompt.")
    embedding_types: list[str] | None = Field(
        None, description="float (the default), int8, base64, or a bit a number: ubinary, binary."
    )
    truncate: Literal["NONE", "START", "END"] | None = Field(
        None, description="The side that is cut of overlong texts (else the server's default)."
    )
    output_dimension: int | None = Field(None, description="First so many numbers of each vector.")
    exit: int | None = Field(None, description=ABOUT_EXIT)


class CohereEmbedAnswer(BaseModel):
    id: str
    response_type: Literal["embeddings_by_type"]
    embeddings: dict[str, list[Any]]
    meta: dict[str, Any]


@router.post("/v2/embed", response_model=CohereEmbedAnswer, summary="Embed texts")
async def embed(body: CohereEmbedRequest, request: Request, query: QueryString) -> Response:
    """Vectors, one per text, in each of the embedding types."""
    embedder = embedder_of(request)
    if body.images or body.inputs or body.input_type == "image":
        raise NotOffered("no encoder here takes images or mixed inputs", next_step="Send texts.")
    types = _checked(body.embedding_types or ["float"])
    ask = Ask(
        inputs=body.texts,
        choice=choose_from(query, InBody(body.model, body.output_dimension, body.exit, "output_dimension")),
        policy=policy_of(query, embedder.settings, *TRUNCATE[body.truncate]),
        prompt=PROMPTS.get(body.input_type),
    )
    result = await answer(request, ask)
    answered = {
        "id": str(uuid.uuid4()),
        "response_type": "embeddings_by_type",
        "embeddings": {name: WRITERS[name](result.vectors) for name in types},
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": result.took.tokens}},
    }
    return written(answered, result.took, ask.inputs)


def _checked(types: list[str]) -> list[str]:
    """The embedding types, each once. Raises BodyInvalid for one that is not offered."""
    for name in types:
        if name not in WRITERS:
            raise BodyInvalid(
                "vectors are not offered in this embedding type",
                value=name,
                next_step=f"Ask for {', '.join(WRITERS)}.{nearest(name, WRITERS)}",
            )
    return list(dict.fromkeys(types))
