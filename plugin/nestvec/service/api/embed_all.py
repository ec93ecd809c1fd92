"""TEI's ``/embed_all``: a vector a token, of encoders made for late interaction."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import Field

from nestvec.service.api.call import Ask, Inputs, Truncation, chosen, embedder_of, listed, run, written
from nestvec.service.api.choice import QueryString, choose_from
from nestvec.service.api.error_responses import refusals
from nestvec_schemas.errors import DimNotOffered
from nestvec_schemas.manifest import PromptName

router = APIRouter(tags=["TEI"], responses=refusals("/embed_all"))


class EmbedAllRequest(Truncation):
    """TEI's request for token vectors; ``prompt_name`` says which side of a comparison the texts are on."""

    inputs: Annotated[Inputs, Field(description="A text, texts, or token ids.", examples=[["heat flow"]])]
    prompt_name: PromptName | None = Field(None, description="query or document (else document).")


@router.post("/embed_all", response_model=list[list[list[float]]], summary="Embed texts, a vector a token")
async def embed_all(body: EmbedAllRequest, request: Request, query: QueryString) -> Response:
    """The vectors of each text's tokens: a query's with those that fill it up, a document's without those of
    its punctuation. Of token ids, as they are."""
    choice = choose_from(query)
    manifest = chosen(request, choice, "multivector").manifest
    if choice.dim not in (None, manifest.dim):
        raise DimNotOffered(
            "token vectors are compared at their full length",
            value=choice.dim,
            next_step=f"Leave dim= away, or ask for {manifest.dim}.",
        )
    inputs = listed(body.inputs)
    texts = all(isinstance(one, str) for one in inputs)
    ask = Ask(
        inputs=inputs,
        choice=choice,
        policy=body.policy(query, embedder_of(request).settings),
        prompt=body.prompt_name or ("document" if texts else None),
    )
    took = await run(request, ask)
    return written([np.ascontiguousarray(one) for one in took.embedded.answers], took, inputs)
