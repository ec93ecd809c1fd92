"""TEI's ``/embed_all``: a vector for each token, by encoders for late interaction."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import Field

from nestvec.service.api.common import (
    EmbedCall,
    TruncationFields,
    as_input_list,
    embed_tokens,
    embedder_of,
    json_response,
)
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.selection import QueryString, select_encoder
from nestvec.service.bodies.fields import Inputs
from nestvec.service.bodies.foreign_fields import Returned
from nestvec.service.bodies.route import BodyRoute
from nestvec_schemas.manifest import PromptName

router = APIRouter(tags=["TEI"], responses=error_models("/embed_all"), route_class=BodyRoute)


class EmbedAllRequest(TruncationFields):
    """TEI's request for token vectors; ``prompt_name`` says which side of a comparison the texts are on."""

    returned: ClassVar[Returned] = "token vectors"

    inputs: Annotated[Inputs, Field(description="A text, texts, or token ids.", examples=[["heat flow"]])]
    prompt_name: PromptName | None = Field(
        None, description="query, document, or the name of another prompt, see /info. Default: document."
    )


@router.post(
    "/embed_all", response_model=list[list[list[float]]], summary="Embed texts, one vector per token"
)
async def embed_all(body: EmbedAllRequest, request: Request, query: QueryString) -> Response:
    """The vectors of each text's tokens: a query's include its padding, a document's omit punctuation. Token
    ids are taken as they are."""
    settings = embedder_of(request).settings
    inputs = as_input_list(body.inputs)
    call = EmbedCall(
        inputs=inputs,
        config=select_encoder(query),
        truncation=body.truncation(query, settings),
        on_error=query.on_error or settings.on_error,
        modality=query.modality,
        prompt=body.prompt_name,
    )
    result = await embed_tokens(request, call)
    return await json_response(
        lambda: [np.ascontiguousarray(vectors) for vectors in result.outputs], result, inputs
    )
