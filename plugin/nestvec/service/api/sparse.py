"""TEI's ``/embed_sparse``: a weight for each word of the vocabulary that a text is about."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from nestvec.service.api.common import (
    EmbedCall,
    Inputs,
    TruncationFields,
    as_input_list,
    check_count,
    embed_inputs,
    embedder_of,
    json_response,
    selected_encoder,
)
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.selection import EncoderSelection, QueryString, select_encoder
from nestvec.service.api.tei import INPUTS_FIELD
from nestvec.service.batching.outputs import top_weights
from nestvec.service.encoders import LoadedEncoder
from nestvec_schemas.errors import BodyInvalid
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.preprocessing.collate import Array

router = APIRouter(tags=["TEI"], responses=error_models("/embed_sparse"))

QUERY_EXPERT = "query"
"""The prompt of queries, and the expert that reads them where a sparse encoder has one."""

TopQuery = Annotated[
    int | None, Query(alias="top", ge=1, description="So many of the largest weights alone.")
]
WordsQuery = Annotated[bool, Query(alias="words", description="Each index with its word.")]


class SparseRequest(TruncationFields):
    """TEI's request for sparse vectors; what TEI does not know stands in the query string."""

    inputs: Annotated[Inputs, INPUTS_FIELD]
    prompt_name: PromptName | None = Field(None, description="Prompt put before each text.")


class SparseValue(BaseModel):
    index: int
    value: float
    word: str | None = Field(None, description="Only where the query string has words=true.")


@router.post(
    "/embed_sparse",
    response_model=list[list[SparseValue]],
    response_model_exclude_none=True,
    summary="Embed texts, sparsely",
)
async def embed_sparse(
    body: SparseRequest,
    request: Request,
    query: QueryString,
    top: TopQuery = None,
    words: WordsQuery = False,
) -> Response:
    """For each text, the words that have a weight, in the order of their ids."""
    settings = embedder_of(request).settings
    inputs = as_input_list(body.inputs)
    check_count(inputs, settings.max_inputs)
    choice = select_encoder(query)
    encoder = selected_encoder(request, choice, "sparse")
    if choice.dim is not None:
        raise BodyInvalid(
            "a sparse encoder's dims are words, and its vectors have no prefix",
            value=f"dim={choice.dim}",
            next_step="Leave it away, or ask for the largest weights: top=64.",
        )
    ask = EmbedCall(
        inputs,
        _with_query_expert(choice, encoder, body.prompt_name),
        body.policy(query, settings),
        prompt=body.prompt_name,
    )
    took = await embed_inputs(request, ask)
    answers = [top_weights(weights, top) for weights in took.embedded.answers]
    if words:
        return json_response(await asyncio.to_thread(_index_values_words, encoder, answers), took, inputs)
    return json_response([_index_values(weights) for weights in answers], took, inputs)


def _with_query_expert(
    choice: EncoderSelection, encoder: LoadedEncoder, prompt: PromptName | None
) -> EncoderSelection:
    """The choice, with the expert that reads queries where the encoder has one and none is chosen."""
    own = prompt == QUERY_EXPERT and choice.expert is None and QUERY_EXPERT in encoder.manifest.experts
    return replace(choice, expert=QUERY_EXPERT) if own else choice


def _index_values(weights: Array) -> list[dict[str, Any]]:
    # Values stay numpy's: of 32 bits, they are written with as many digits as those hold.
    return [
        {"index": index, "value": value}
        for index, value in zip(weights["index"].tolist(), weights["value"], strict=True)
    ]


def _index_values_words(encoder: LoadedEncoder, answers: Sequence[Array]) -> list[list[dict[str, Any]]]:
    words_of = encoder.tokeniser.words
    return [
        [
            entry | {"word": word}
            for entry, word in zip(_index_values(row), words_of(row["index"].tolist()), strict=True)
        ]
        for row in answers
    ]
