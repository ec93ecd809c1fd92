"""TEI's ``/embed_sparse``: a weight for each word of the vocabulary that a text is about."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from nestvec.service.api.call import (
    Ask,
    Inputs,
    Truncation,
    check_count,
    chosen,
    embedder_of,
    listed,
    run,
    written,
)
from nestvec.service.api.choice import Choice, QueryString, choose_from
from nestvec.service.api.error_responses import refusals
from nestvec.service.api.tei import TEXTS
from nestvec.service.batching.answers import heaviest
from nestvec.service.encoders import Encoder
from nestvec_schemas.errors import BodyInvalid
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.preprocessing.collate import Array

router = APIRouter(tags=["TEI"], responses=refusals("/embed_sparse"))

QUERY = "query"
"""The prompt of queries, and the expert that reads them where a sparse encoder has one."""

TopQuery = Annotated[
    int | None, Query(alias="top", ge=1, description="So many of the largest weights alone.")
]
WordsQuery = Annotated[bool, Query(alias="words", description="Each index with its word.")]


class SparseRequest(Truncation):
    """TEI's request for sparse vectors; what TEI does not know stands in the query string."""

    inputs: Annotated[Inputs, TEXTS]
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
    inputs = listed(body.inputs)
    check_count(inputs, settings.max_inputs)
    choice = choose_from(query)
    encoder = chosen(request, choice, "sparse")
    if choice.dim is not None:
        raise BodyInvalid(
            "a sparse encoder's dims are words, and its vectors have no prefix",
            value=f"dim={choice.dim}",
            next_step="Leave it away, or ask for the largest weights: top=64.",
        )
    ask = Ask(
        inputs,
        _reading(choice, encoder, body.prompt_name),
        body.policy(query, settings),
        prompt=body.prompt_name,
    )
    took = await run(request, ask)
    answers = [heaviest(one, top) for one in took.embedded.answers]
    if words:
        return written(await asyncio.to_thread(_named, encoder, answers), took, inputs)
    return written([_plain(one) for one in answers], took, inputs)


def _reading(choice: Choice, encoder: Encoder, prompt: PromptName | None) -> Choice:
    """The choice, with the expert that reads queries where the encoder has one and none is chosen."""
    own = prompt == QUERY and choice.expert is None and QUERY in encoder.manifest.experts
    return replace(choice, expert=QUERY) if own else choice


def _plain(weights: Array) -> list[dict[str, Any]]:
    # Values stay numpy's: of 32 bits, they are written with as many digits as those hold.
    return [
        {"index": index, "value": value}
        for index, value in zip(weights["index"].tolist(), weights["value"], strict=True)
    ]


def _named(encoder: Encoder, answers: Sequence[Array]) -> list[list[dict[str, Any]]]:
    named = encoder.tokeniser.words
    return [
        [one | {"word": word} for one, word in zip(_plain(row), named(row["index"].tolist()), strict=True)]
        for row in answers
    ]
