"""The face of text-embeddings-inference 1.9: ``/embed`` and ``/info``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from nestvec import __version__
from nestvec.service.embedder import Cut, Embedder
from nestvec.service.faces.call import (
    Ask,
    DimQuery,
    EncoderQuery,
    agreed_dim,
    answer,
    embedder_of,
    headers,
    listed,
)

router = APIRouter(tags=["TEI"])


class EmbedRequest(BaseModel):
    """TEI's request; ``dim`` and ``encoder`` may stand in the query string instead."""

    inputs: Annotated[
        str | list[str] | list[int] | list[list[int]],
        Field(description="A text, texts, or token ids.", examples=[["heat flow in shock waves"]]),
    ]
    truncate: bool | None = Field(None, description="Cut overlong texts (else the server's default).")
    truncation_direction: Literal["Right", "Left", "right", "left"] = "Right"
    prompt_name: Literal["query", "document"] | None = Field(None, description="Prompt put before each text.")
    normalize: bool | None = Field(None, description="Unit length (else as the encoder was trained).")
    dimensions: int | None = Field(None, description="First so many numbers of each vector.")
    encoder: str | None = Field(None, description="Encoder; not needed where there is one.")


@router.post("/embed", response_model=list[list[float]], summary="Embed texts")
async def embed(
    body: EmbedRequest, request: Request, encoder: EncoderQuery = None, dim: DimQuery = None
) -> Response:
    """Vectors, one per text, always as a 2-D array."""
    embedder = embedder_of(request)
    truncate = embedder.settings.auto_truncate if body.truncate is None else body.truncate
    ask = Ask(
        inputs=listed(body.inputs),
        encoder=encoder or body.encoder,
        dim=agreed_dim(dim, body.dimensions),
        cut=Cut(truncate, "left" if body.truncation_direction.lower() == "left" else "right"),
        normalised=body.normalize,
        prompt=body.prompt_name,
    )
    result = await answer(embedder, ask)
    return Response(
        orjson.dumps(result.vectors, option=orjson.OPT_SERIALIZE_NUMPY),
        media_type="application/json",
        headers=headers(result, ask.inputs),
    )


@router.get("/info", summary="What the service holds")
async def info(request: Request) -> dict[str, Any]:
    """TEI's fields for the first encoder, and every encoder's dims, prompts and limits."""
    return describe(embedder_of(request))


@router.get("/health", summary="Whether the service answers")
async def health(request: Request) -> Response:
    """200 as soon as every encoder is open."""
    embedder_of(request)
    return Response()


def describe(embedder: Embedder) -> dict[str, Any]:
    """The body of ``/info``."""
    manifests = {name: encoder.manifest for name, encoder in sorted(embedder.encoders.items())}
    first = next(iter(manifests.values()))
    settings = embedder.settings
    return {
        "model_id": first.source,
        "model_sha": first.files.get("1/model.onnx"),
        "model_dtype": first.precision,
        "model_type": {"embedding": {"pooling": first.towers["text"].pooling}},
        "max_input_length": first.towers["text"].max_tokens,
        "max_batch_tokens": settings.batch_tokens,
        "max_client_batch_size": settings.max_inputs,
        "auto_truncate": settings.auto_truncate,
        "version": __version__,
        "engine": embedder.engine.name,
        "encoders": {
            name: {
                "dim": manifest.dim,
                "dims": manifest.dims,
                "max_tokens": manifest.towers["text"].max_tokens,
                "precision": manifest.precision,
                "normalised": manifest.normalised,
                "nesting": manifest.nesting,
                "prompts": manifest.prompts,
            }
            for name, manifest in manifests.items()
        },
    }
