"""Hugging Face's pipelines: ``feature-extraction`` and ``sentence-similarity``, by Milvus's ``huggingface``
provider and ``InferenceClient``; and TEI's ``/similarity``."""

from __future__ import annotations

from typing import Annotated, ClassVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, SkipValidation, StrictBool

from nestvec.service.api.common import (
    EmbedCall,
    ParameterFields,
    check_count,
    embed_dense,
    embedder_of,
    json_response,
    score_connected,
)
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.selection import (
    DIM_DESCRIPTION,
    PROMPT_DESCRIPTION,
    QueryString,
    body_config,
    select_encoder,
)
from nestvec.service.bodies.fields import ReadBy, TextOrTexts
from nestvec.service.bodies.foreign_fields import Returned
from nestvec.service.bodies.json_scanner import invalid
from nestvec.service.bodies.readers import BodyReader
from nestvec.service.bodies.route import BodyRoute
from nestvec.service.embedder import EmbedOptions
from nestvec.service.encoders import resolve_encoder
from nestvec.service.ranking import RankingTask
from nestvec_schemas.manifest import PromptName

router = APIRouter(
    tags=["Hugging Face"], responses=error_models("/pipeline/feature-extraction"), route_class=BodyRoute
)


class PipelineFields(ParameterFields):
    """What both pipelines have."""

    prompt_name: PromptName | None = Field(None, description=PROMPT_DESCRIPTION)


class FeatureExtractionRequest(PipelineFields):
    """``model`` in the path is ENCODER or ENCODER@EXPERT@EXIT?prompt=NAME&dim=N, percent-encoded."""

    inputs: Annotated[TextOrTexts, Field(description="A text or texts.", examples=[["heat flow"]])]
    normalize: StrictBool | None = Field(
        None, description="Normalise vectors to unit length. Default: as the encoder was trained."
    )
    dimensions: int | None = Field(None, description=DIM_DESCRIPTION)


class SimilarityInputs(BaseModel):
    """A text, and those to compare it with."""

    source_sentence: str
    sentences: list[str]


def _read_similarity_inputs(reader: BodyReader, where: str) -> SimilarityInputs:
    if not reader.scanner.starts_with(b"{"):
        raise invalid(where, f"{reader.scanner.kind()}, not an object with source_sentence and sentences")
    values = reader.fields(where, {"source_sentence": BodyReader.text, "sentences": BodyReader.documents})
    for name in SimilarityInputs.model_fields:
        if name not in values:
            raise invalid(where, f"there is no {name}")
    return SimilarityInputs.model_construct(
        source_sentence=values["source_sentence"], sentences=values["sentences"]
    )


class SimilarityRequest(PipelineFields):
    """``model`` in the path names the encoder: a dense one, a cross-encoder, or one for late interaction."""

    returned: ClassVar[Returned] = "scores"

    inputs: Annotated[SimilarityInputs, SkipValidation(), ReadBy(_read_similarity_inputs)]


async def extract_features(
    body: FeatureExtractionRequest, request: Request, query: QueryString, model: str = ""
) -> Response:
    """Vectors, one per text, always as a 2-D array."""
    settings = embedder_of(request).settings
    call = EmbedCall(
        inputs=[body.inputs] if isinstance(body.inputs, str) else body.inputs,
        config=select_encoder(query, body_config(model, body.dimensions)),
        truncation=body.truncation(query, settings),
        on_error=query.on_error or settings.on_error,
        modality=query.modality,
        normalised=body.normalize,
        prompt=body.prompt_name,
    )
    result = await embed_dense(request, call)
    return await json_response(lambda: result.vectors, result, call.inputs)


async def compare_sentences(
    body: SimilarityRequest, request: Request, query: QueryString, model: str = ""
) -> Response:
    """The score of each sentence with the source sentence, in their order: the cosine of a dense encoder's
    vectors, else the score of ``/rerank``. An empty sentence has the lowest score."""
    embedder, settings = embedder_of(request), embedder_of(request).settings
    sentences = body.inputs.sentences
    check_count(sentences, settings.load.inputs)
    config = select_encoder(query, body_config(model))
    name = resolve_encoder(embedder.encoders, config.encoder)
    options = EmbedOptions(config, body.truncation(query, settings), query.on_error or settings.on_error)
    task = RankingTask(
        name, body.inputs.source_sentence, sentences, options, body.prompt_name, modality=query.modality
    )
    scores, result = await score_connected(request, task)
    return await json_response(lambda: scores, result, [body.inputs.source_sentence, *sentences])


def _add_routes() -> None:
    for prefix in ("", "/models/{model:path}", "/hf-inference/models/{model:path}"):
        for suffix in ("", "/{model:path}") if not prefix else ("",):
            router.post(
                f"{prefix}/pipeline/feature-extraction{suffix}",
                response_model=list[list[float]],
                summary="Embed texts",
            )(extract_features)
            router.post(
                f"{prefix}/pipeline/sentence-similarity{suffix}",
                response_model=list[float],
                summary="Compare texts",
            )(compare_sentences)
    router.post("/similarity", response_model=list[float], summary="Compare texts")(compare_sentences)
    router.post("/models/{model:path}", response_model=list[list[float]], summary="Embed texts")(
        extract_features
    )


_add_routes()
