"""The face of text-embeddings-inference 1.9: vectors, tokens, what the service holds."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from nestvec._version import __version__
from nestvec.service.api.common import (
    EmbedCall,
    Inputs,
    TruncationFields,
    as_input_list,
    check_count,
    embed_dense,
    embedder_of,
    json_response,
    with_prompt,
)
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.selection import EXIT_DESCRIPTION, BodyFields, QueryString, select_encoder
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import resolve_encoder
from nestvec_schemas.errors import EmptyInput, InputTooLong
from nestvec_schemas.manifest import Manifest, PromptName

router = APIRouter(tags=["TEI"], responses=error_models("/embed"))

MAX_TOKENIZED_CHARACTERS = 1 << 18
"""Characters that one request may have spelled out as tokens: each becomes some 60 bytes of JSON."""

INPUTS_FIELD = Field(description="A text, texts, or token ids.", examples=[["heat flow in shock waves"]])


class EmbedRequest(TruncationFields):
    """TEI's request; what TEI does not know may stand in the query string as well."""

    inputs: Annotated[Inputs, INPUTS_FIELD]
    prompt_name: PromptName | None = Field(None, description="Prompt put before each text.")
    normalize: bool | None = Field(None, description="Unit length (else as the encoder was trained).")
    dimensions: int | None = Field(None, description="First so many numbers of each vector.")
    encoder: str | None = Field(None, description="Encoder; not needed where there is one.")
    exit: int | None = Field(None, description=EXIT_DESCRIPTION)


class TokenizeRequest(BaseModel):
    """TEI's request for the tokens of texts."""

    inputs: Annotated[str | list[str], Field(description="A text or texts.", examples=[["heat flow"]])]
    add_special_tokens: bool = True
    prompt_name: PromptName | None = Field(None, description="Prompt put before each text.")


class TokenInfo(BaseModel):
    id: int
    text: str
    special: bool
    start: int | None = Field(description="First character; null for a special token.")
    stop: int | None


@router.post("/embed", response_model=list[list[float]], summary="Embed texts")
@router.post("/", include_in_schema=False)
async def embed(body: EmbedRequest, request: Request, query: QueryString) -> Response:
    """Vectors, one per text, always as a 2-D array."""
    embedder = embedder_of(request)
    ask = EmbedCall(
        inputs=as_input_list(body.inputs),
        choice=select_encoder(query, BodyFields(body.encoder, body.dimensions, body.exit)),
        policy=body.policy(query, embedder.settings),
        normalised=body.normalize,
        prompt=body.prompt_name,
    )
    result = await embed_dense(request, ask)
    return json_response(result.vectors, result.took, ask.inputs)


@router.post("/tokenize", response_model=list[list[TokenInfo]], summary="The tokens of texts")
async def tokenize(body: TokenizeRequest, request: Request, query: QueryString) -> Response:
    """Every token of each text, with the characters it stands for; nothing is cut."""
    embedder = embedder_of(request)
    encoder = embedder.encoders[resolve_encoder(embedder.encoders, select_encoder(query).encoder)]
    tokeniser = encoder.tokeniser
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    check_count(texts, embedder.settings.max_inputs)
    _check_tokenizable(texts)
    if body.prompt_name:
        texts = [str(text) for text in with_prompt(texts, body.prompt_name, encoder)]
    spelled = await asyncio.to_thread(tokeniser.spell, texts, special=body.add_special_tokens)
    answered = [[asdict(token) for token in tokens] for tokens in spelled]
    return Response(orjson.dumps(answered), media_type="application/json")


def _check_tokenizable(texts: list[str]) -> None:
    if "" in texts:
        raise EmptyInput("a text is empty", next_step="Send at least one character.")
    characters = sum(map(len, texts))
    if characters > MAX_TOKENIZED_CHARACTERS:
        raise InputTooLong(
            f"a request has at most {MAX_TOKENIZED_CHARACTERS} characters spelled out as tokens",
            value=characters,
            next_step="Send the texts in several requests.",
        )


@router.get("/info", summary="What the service holds")
async def info(request: Request) -> dict[str, Any]:
    """TEI's fields for the first encoder, and every encoder's dims, exits, prompts and limits."""
    return describe(embedder_of(request))


def describe(embedder: Embedder) -> dict[str, Any]:
    """The body of ``/info``."""
    encoders = dict(sorted(embedder.encoders.items()))
    manifests = {name: encoder.manifest for name, encoder in encoders.items()}
    first = next(iter(manifests.values()))
    settings = embedder.settings
    return {
        "model_id": first.source,
        "model_sha": first.files.get("1/model.onnx"),
        "model_dtype": first.precision,
        "model_type": _model_type(first),
        "max_concurrent_requests": settings.load.requests,
        "max_input_length": first.first.max_tokens,
        "max_batch_tokens": settings.batch_tokens,
        "max_batch_requests": settings.batch_texts,
        "max_client_batch_size": settings.max_inputs,
        "auto_truncate": settings.overlong != "error",
        "tokenization_workers": None,
        "version": __version__,
        "sha": None,
        "docker_label": None,
        "engine": embedder.engine.name,
        "settings": settings.public(),
        "encoders": {
            name: {
                "dim": manifest.dim,
                "dims": manifest.dims,
                "layers": manifest.layers,
                "kind": manifest.kind,
                "activation": manifest.first.activation,
                "towers": list(manifest.towers),
                "pictures": encoders[name].pictures,
                "frames": manifest.towers["image"].frames if "image" in manifest.towers else None,
                "experts": list(manifest.experts),
                "max_tokens": manifest.first.max_tokens,
                "precision": manifest.precision,
                "normalised": manifest.normalised,
                "nesting": manifest.nesting,
                "prompts": manifest.prompts,
            }
            for name, manifest in manifests.items()
        },
    }


def _model_type(manifest: Manifest) -> dict[str, object]:
    """In TEI's words; a reranker of one label has the only name there."""
    if manifest.kind == "reranker":
        return {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}}
    return {"embedding": {"pooling": manifest.first.pooling}}
