"""OpenAI's embeddings API, as its clients, Milvus Lite and TEI's clients call it."""

from __future__ import annotations

import base64
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from nestvec.service.api.common import (
    EmbedCall,
    Inputs,
    as_input_list,
    embed_dense,
    embedder_of,
    json_response,
)
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.selection import (
    DIM_DESCRIPTION,
    ENCODER_DESCRIPTION,
    EXIT_DESCRIPTION,
    PROMPT_DESCRIPTION,
    QueryString,
    select_encoder,
)
from nestvec.service.preprocess.truncation import Truncation
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.vectors import Vectors

PATHS = ("/v1/embeddings", "/embeddings")

router = APIRouter(tags=["OpenAI"], responses=error_models("/v1/embeddings"))


class EmbeddingsRequest(BaseModel):
    """OpenAI's request; ``model`` is ENCODER or ENCODER@EXPERT@EXIT?prompt=NAME, unless the query string
    names one."""

    input: Annotated[
        Inputs,
        Field(description="A text, texts, or token ids.", examples=[["heat flow in shock waves"]]),
    ]
    model: str | None = Field(None, description=ENCODER_DESCRIPTION)
    encoding_format: Literal["float", "base64"] | None = Field(
        "float", description="float (the default), or base64 of little-endian float32."
    )
    dimensions: int | None = Field(None, description=DIM_DESCRIPTION)
    exit: int | None = Field(None, description=EXIT_DESCRIPTION)
    prompt_name: PromptName | None = Field(None, description=PROMPT_DESCRIPTION)
    user: str | None = Field(None, description="Ignored.")


class EmbeddingObject(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    object: Literal["list"]
    data: list[EmbeddingObject]
    model: str
    usage: Usage


async def embeddings(body: EmbeddingsRequest, request: Request, query: QueryString) -> Response:
    """Vectors, one per text, with their index."""
    settings = embedder_of(request).settings
    call = EmbedCall(
        inputs=as_input_list(body.input),
        config=select_encoder(query, EmbeddingConfig(body.model or "", body.dimensions, body.exit)),
        truncation=Truncation(query.overlong or settings.overlong),
        on_error=query.on_error or settings.on_error,
        prompt=body.prompt_name,
    )
    result = await embed_dense(request, call)

    def content() -> object:
        rows = base64_rows(result.vectors) if body.encoding_format == "base64" else list(result.vectors)
        return {
            "object": "list",
            "data": [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)],
            "model": result.encoder,
            "usage": {"prompt_tokens": result.tokens, "total_tokens": result.tokens},
        }

    return await json_response(content, result, call.inputs)


for _path in PATHS:
    router.post(
        _path,
        response_model=EmbeddingsResponse,
        summary="Embed texts",
    )(embeddings)


def base64_rows(vectors: Vectors) -> list[str]:
    """Each vector, (n, dim) float32, as base64 of little-endian float32."""
    return [base64.b64encode(row.astype("<f4").tobytes()).decode("ascii") for row in vectors]
