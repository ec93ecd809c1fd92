"""TEI's ``/embed_sparse``: a weight for each word of the vocabulary that a text is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from nestvec.service.api.common import (
    EmbedCall,
    TruncationFields,
    as_input_list,
    check_count,
    embed_inputs,
    embedder_of,
    json_response,
    selected_encoder,
)
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.selection import PROMPT_DESCRIPTION, QueryString, select_encoder
from nestvec.service.api.tei import INPUTS_FIELD
from nestvec.service.batching.outputs import top_weights
from nestvec.service.bodies.fields import Inputs
from nestvec.service.bodies.foreign_fields import Returned
from nestvec.service.bodies.route import BodyRoute
from nestvec.service.encoders import LoadedEncoder
from nestvec_schemas.errors import BodyInvalid
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.towers import CODES_POOLING

router = APIRouter(tags=["TEI"], responses=error_models("/embed_sparse"), route_class=BodyRoute)

TopQuery = Annotated[
    int | None, Query(alias="top", ge=1, description="Keep only this many of the largest weights.")
]
WordsQuery = Annotated[bool, Query(alias="words", description="Return each index with its word.")]


class SparseRequest(TruncationFields):
    """TEI's request for sparse vectors; fields that TEI does not have are in the query string."""

    returned: ClassVar[Returned] = "sparse vectors"

    inputs: Annotated[Inputs, INPUTS_FIELD]
    prompt_name: PromptName | None = Field(None, description=PROMPT_DESCRIPTION)


class SparseValue(BaseModel):
    index: int
    value: float
    word: str | None = Field(None, description="Only if the query string has words=true.")


@router.post(
    "/embed_sparse",
    response_model=list[list[SparseValue]],
    response_model_exclude_none=True,
    summary="Embed texts as sparse vectors",
)
async def embed_sparse_texts(
    body: SparseRequest,
    request: Request,
    query: QueryString,
    top: TopQuery = None,
    words: WordsQuery = False,
) -> Response:
    """For each text, the words that have a weight, in the order of the vocabulary."""
    settings = embedder_of(request).settings
    inputs = as_input_list(body.inputs)
    check_count(inputs, settings.load.inputs)
    config = select_encoder(query)
    encoder = selected_encoder(request, config, "sparse")
    if config.dim is not None:
        raise BodyInvalid(
            "the dims of a sparse encoder are words, and its vectors cannot be truncated",
            value=f"dim={config.dim}",
            next_step="Omit it, or request the largest weights: top=64.",
        )
    call = EmbedCall(
        inputs=inputs,
        config=config,
        truncation=body.truncation(query, settings),
        on_error=query.on_error or settings.on_error,
        modality=query.modality,
        prompt=body.prompt_name,
    )
    result = await embed_inputs(request, call)

    def content() -> object:
        weights = [top_weights(output, top) for output in result.outputs]
        return _with_words(encoder, weights) if words else [_index_values(row) for row in weights]

    return await json_response(content, result, inputs)


def _index_values(weights: Array) -> list[dict[str, Any]]:
    # Values stay numpy's float32, so that they are written with as many digits as 32 bits hold.
    return [
        {"index": index, "value": value}
        for index, value in zip(weights["index"].tolist(), weights["value"], strict=True)
    ]


def _with_words(encoder: LoadedEncoder, rows: Sequence[Array]) -> list[list[dict[str, Any]]]:
    return [
        [
            entry | {"word": word}
            for entry, word in zip(_index_values(row), _words(encoder, row["index"].tolist()), strict=True)
        ]
        for row in rows
    ]


def _words(encoder: LoadedEncoder, indexes: list[int]) -> list[str]:
    """The vocabulary's words; the dims of sparse codes are units of an autoencoder, not words."""
    if encoder.manifest.main_tower.pooling == CODES_POOLING:
        return [f"unit {index}" for index in indexes]
    return encoder.required_tokenizer.vocabulary_entries(indexes)
