"""TEI's ``/embed_all``: a vector a token, of encoders made for late interaction."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import Field

from nestvec.service.api.common import (
    EmbedCall,
    Inputs,
    TruncationFields,
    as_input_list,
    embed_inputs,
    embedder_of,
    json_response,
    selected_encoder,
)
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.selection import QueryString, select_encoder
from nestvec_schemas.errors import DimNotOffered
from nestvec_schemas.manifest import PromptName

router = APIRouter(tags=["TEI"], responses=error_models("/embed_all"))


class EmbedAllRequest(TruncationFields):
    """TEI's request for token vectors; ``prompt_name`` says which side of a comparison the texts are on."""

    inputs: Annotated[Inputs, Field(description="A text, texts, or token ids.", examples=[["heat flow"]])]
    prompt_name: PromptName | None = Field(None, description="query or document (else document).")


@router.post("/embed_all", response_model=list[list[list[float]]], summary="Embed texts, a vector a token")
async def embed_all(body: EmbedAllRequest, request: Request, query: QueryString) -> Response:
    """The vectors of each text's tokens: a query's with those that fill it up, a document's without those of
    its punctuation. Of token ids, as they are."""
    choice = select_encoder(query)
    manifest = selected_encoder(request, choice, "multivector").manifest
    if choice.dim not in (None, manifest.dim):
        raise DimNotOffered(
            "token vectors are compared at their full length",
            value=choice.dim,
            next_step=f"Leave dim= away, or ask for {manifest.dim}.",
        )
    inputs = as_input_list(body.inputs)
    texts = all(isinstance(value, str) for value in inputs)
    ask = EmbedCall(
        inputs=inputs,
        choice=choice,
        policy=body.policy(query, embedder_of(request).settings),
        prompt=body.prompt_name or ("document" if texts else None),
    )
    took = await embed_inputs(request, ask)
    return json_response([np.ascontiguousarray(value) for value in took.embedded.answers], took, inputs)
