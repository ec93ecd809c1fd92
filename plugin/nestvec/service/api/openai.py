"""OpenAI's embeddings API, as its clients, Milvus Lite and TEI's clients call it, with Voyage AI's fields."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal, cast

from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, Field, StrictBool, model_validator

from nestvec.service.api.cohere import TRUNCATE_VALUES
from nestvec.service.api.common import (
    EmbedCall,
    as_input_list,
    check_special_tokens,
    embed_dense,
    embedder_of,
    json_response,
    refuse_token_ids,
)
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.request_model import ApiRequest
from nestvec.service.api.selection import (
    DIM_DESCRIPTION,
    ENCODER_DESCRIPTION,
    EXIT_DESCRIPTION,
    PROMPT_DESCRIPTION,
    QueryFields,
    QueryString,
    body_config,
    requested_model,
    select_encoder,
)
from nestvec.service.bodies.contents import InputsOrParts
from nestvec.service.bodies.fields import Inputs
from nestvec.service.bodies.route import BodyRoute
from nestvec.service.encoders import EncoderNames, LoadedEncoder, resolve_encoder
from nestvec.service.preprocess.inputs import EmbedInput, InputPart
from nestvec.service.preprocess.modality import Modalities
from nestvec.service.preprocess.tokenizer import Direction
from nestvec.service.preprocess.truncation import Overlong, Truncation
from nestvec.service.settings import ServiceSettings
from nestvec.service.vector_formats import DTYPES, base64_rows, check_format
from nestvec_schemas.errors import BodyInvalid
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.model_name import parse_model_name
from nestvec_schemas.prompt_roles import ROLES
from nestvec_schemas.towers import Modality, Role

_STARTED: Final = int(time.time())

_TWO_TRUNCATIONS: Final = "says twice what happens to overlong texts"

PATHS = ("/v1/embeddings", "/embeddings")

router = APIRouter(tags=["OpenAI"], responses=error_models("/v1/embeddings"), route_class=BodyRoute)

ROLE_OF_TYPE: Final[dict[str, Role]] = {
    "query": "query",
    "document": "document",
    "passage": "document",
    "search_query": "query",
    "search_document": "document",
}
"""The role of an ``input_type`` of Voyage AI, or of servers that borrow the field."""

DtypeQuery = Annotated[
    str | None,
    Query(
        alias="output_dtype",
        description="Type of the numbers, for a client that states none in the body: Milvus's voyageai "
        "provider for an INT8_VECTOR field.",
    ),
]


class EmbeddingsRequest(ApiRequest):
    """OpenAI's request; ``model`` is ENCODER or ENCODER@EXPERT@EXIT?prompt=NAME, unless the query string
    names one."""

    numbers_as_strings: ClassVar[frozenset[str]] = frozenset({"dimensions"})

    input: Annotated[
        InputsOrParts,
        Field(
            description="A text or texts; token ids only if the service runs with --accept-token-ids; from "
            "Jina, objects with either a text or an image.",
            examples=[["heat flow in shock waves"]],
        ),
    ]
    model: str | None = Field(None, description=ENCODER_DESCRIPTION)
    encoding_format: Literal["float", "base64"] | None = Field(
        "float", description="float (the default), or base64 of little-endian numbers."
    )
    dimensions: int | None = Field(None, description=DIM_DESCRIPTION)
    output_dimension: int | None = Field(None, description="The same, for Voyage AI.")
    output_dtype: str | None = Field(
        None, description="From Voyage AI: float (the default), int8, uint8, binary, ubinary."
    )
    input_type: str | None = Field(
        None, description="From Voyage AI: query or document, the prompt before each text."
    )
    truncation: StrictBool | None = Field(
        None, description="From Voyage AI: truncate overlong texts. Default: the server's setting."
    )
    truncate_prompt_tokens: int | None = Field(
        None, ge=-1, description="From vLLM: any number truncates texts to what the encoder takes."
    )
    truncation_side: Literal["left", "right"] | None = Field(
        None, description="From vLLM: the side on which overlong texts are truncated. Default: the encoder's."
    )
    use_activation: StrictBool | None = Field(
        None,
        description="From vLLM: false for vectors that are not normalised. Default: as the encoder was "
        "trained.",
    )
    normalize: StrictBool | None = Field(None, description="The same, for clients of other servers.")
    normalized: StrictBool | None = Field(None, description="The same, for Jina.")
    truncate: StrictBool | Literal["NONE", "START", "END"] | None = Field(
        None, description="From NVIDIA, as Cohere has it: the side on which overlong texts are truncated."
    )
    add_special_tokens: StrictBool | None = Field(None, description="From vLLM: only true is supported.")
    exit: int | None = Field(None, description=EXIT_DESCRIPTION)
    prompt_name: PromptName | None = Field(None, description=PROMPT_DESCRIPTION)
    modality: Modality | None = Field(
        None,
        description="From Infinity: text or image, what the inputs are. Default: images where they are "
        "addresses of images, else texts.",
    )
    user: str | None = Field(None, description="Ignored.")

    @model_validator(mode="after")
    def refuse_no_special_tokens(self) -> EmbeddingsRequest:
        """Raise BodyInvalid for texts without special tokens."""
        check_special_tokens(self.add_special_tokens)
        return self


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


class ModelObject(BaseModel):
    """``root`` and ``max_model_len`` are vLLM's: the encoder itself, and the tokens that it takes."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When the service was started.")
    owned_by: str = "nestvec"
    root: str
    max_model_len: int | None


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelObject]


@router.get("/v1/models", summary="List the models")
async def models(request: Request) -> ModelList:
    """Every encoder and every alias."""
    encoders = embedder_of(request).encoders
    return ModelList(data=[_model(encoders, name, name) for name in _names(encoders)])


@router.get("/v1/models/{model:path}", summary="Describe a model")
async def model(model: str, request: Request) -> ModelObject:
    """The encoder of a model's name, which may have an exit, an expert, a dim or a prompt."""
    return _model(embedder_of(request).encoders, model, parse_model_name(model).encoder)


def _names(encoders: Mapping[str, LoadedEncoder]) -> list[str]:
    aliases = encoders.aliases if isinstance(encoders, EncoderNames) else {}
    return sorted([*encoders, *aliases])


def _model(encoders: Mapping[str, LoadedEncoder], model: str, name: str) -> ModelObject:
    root = resolve_encoder(encoders, name)
    manifest = encoders[root].manifest
    max_tokens = manifest.main_tower.max_tokens if "text" in manifest.towers else None
    return ModelObject(id=model, created=_STARTED, root=root, max_model_len=max_tokens)


async def embeddings(
    body: EmbeddingsRequest, request: Request, query: QueryString, output_dtype: DtypeQuery = None
) -> Response:
    """Vectors, one per text, with their index."""
    settings = embedder_of(request).settings
    inputs, modality = _inputs(body, query)
    refuse_token_ids(inputs, settings)
    dtype = check_format(body.output_dtype or output_dtype or "float", DTYPES, "output_dtype")
    call = EmbedCall(
        inputs=inputs,
        config=select_encoder(query, body_config(body.model, _dim(body), body.exit)),
        truncation=_truncation(body, query, settings),
        on_error=query.on_error or settings.on_error,
        normalised=_normalised(body),
        modality=modality,
        prompt=_prompt(body),
    )
    result = await embed_dense(request, call)

    def content() -> object:
        numbers = DTYPES[dtype](result.vectors)
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": place, "embedding": row}
                for place, row in enumerate(_rows(numbers, body.encoding_format))
            ],
            "model": requested_model(query, body.model) or result.encoder,
            "usage": {"prompt_tokens": result.tokens, "total_tokens": result.tokens},
        }

    return await json_response(content, result, call.inputs)


for _path in PATHS:
    router.post(
        _path,
        response_model=EmbeddingsResponse,
        summary="Embed texts",
    )(embeddings)


def _inputs(body: EmbeddingsRequest, query: QueryFields) -> tuple[list[EmbedInput], Modalities]:
    """The inputs, and what they are. Raises BodyInvalid if parts of the request disagree."""
    # Of objects all or none: a text is not searched for them, character by character.
    parts = cast(list[InputPart], body.input if isinstance(body.input, list) else [])
    if not (parts and isinstance(parts[0], InputPart)):
        return as_input_list(cast(Inputs, body.input)), query.select_modality(body.modality)
    modalities = [part.modality for part in parts]
    if body.modality is not None and set(modalities) != {body.modality}:
        raise BodyInvalid(
            "the request names different modalities",
            value=f"modality={body.modality} beside {', '.join(sorted(set(modalities)))}",
            next_step="Omit modality.",
        )
    return [part.value for part in parts], query.select_modality(modalities)


def _rows(numbers: NDArray[Any], encoding_format: str | None) -> list[Any]:
    return base64_rows(numbers) if encoding_format == "base64" else list(numbers)


def _dim(body: EmbeddingsRequest) -> int | None:
    """The length of the vectors, by either name. Raises BodyInvalid if they differ."""
    if body.dimensions is None or body.output_dimension in (None, body.dimensions):
        return body.dimensions if body.dimensions is not None else body.output_dimension
    raise BodyInvalid(
        "the request names different dims",
        value=f"dimensions={body.dimensions}, output_dimension={body.output_dimension}",
        next_step="Name one of them.",
    )


def _normalised(body: EmbeddingsRequest) -> bool | None:
    """Whether vectors are normalised, by any name; None by none. Raises BodyInvalid if they differ."""
    names = ("use_activation", "normalize", "normalized")
    return cast(bool | None, _only_value(body, names, "says twice whether vectors are normalised"))


def _truncation(body: EmbeddingsRequest, query: QueryFields, server: ServiceSettings) -> Truncation:
    by_field: dict[object, Overlong] = {None: server.overlong, True: "truncate", False: "error"}
    side: Direction | None = None
    if isinstance(body.truncate, str):
        by_truncate, side = TRUNCATE_VALUES[body.truncate]
        truncates: object = by_truncate == "truncate"
        _only_value(body, ("truncation",), _TWO_TRUNCATIONS, truncates)
    else:
        truncates = _only_value(body, ("truncation", "truncate"), _TWO_TRUNCATIONS)
    if truncates is None and body.truncate_prompt_tokens is not None:
        truncates = True
    return Truncation(query.overlong or by_field[truncates], body.truncation_side or side)


def _only_value(
    body: EmbeddingsRequest, names: Sequence[str], problem: str, expected: object = None
) -> object:
    """The value of whichever of these fields the body has. Raises BodyInvalid for two, or for another than
    ``expected``."""
    values = {name: value for name in names if (value := getattr(body, name)) is not None}
    different = {*values.values(), *(() if expected is None else (expected,))}
    if len(different) > 1:
        raise BodyInvalid(
            f"the request {problem}",
            value=", ".join(f"{name}={str(value).lower()}" for name, value in values.items()),
            next_step="Name one of them.",
        )
    return next(iter(different), None)


def _prompt(body: EmbeddingsRequest) -> PromptName | None:
    """The prompt that the body names, itself or by its input type. Raises BodyInvalid if they are those of
    different roles."""
    if body.input_type is None:
        return body.prompt_name
    if body.prompt_name is None:
        return ROLE_OF_TYPE[check_format(body.input_type, ROLE_OF_TYPE, "input_type")]
    if body.prompt_name in ROLES and ROLE_OF_TYPE.get(body.input_type, body.prompt_name) != body.prompt_name:
        raise BodyInvalid(
            "the request names different prompts",
            value=f"prompt_name={body.prompt_name}, input_type={body.input_type}",
            next_step="Name one of them.",
        )
    return body.prompt_name
