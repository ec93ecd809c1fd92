"""The API of text-embeddings-inference 1.9: vectors, tokens, and what the service serves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Final

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, StrictBool

from nestvec._version import __version__
from nestvec.engines.contract import EngineInfo
from nestvec.service.api.common import (
    EmbedCall,
    ParameterFields,
    as_input_list,
    check_count,
    embed_dense,
    embedder_of,
    json_response,
)
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.request_model import ApiRequest
from nestvec.service.api.selection import (
    DIM_DESCRIPTION,
    ENCODER_DESCRIPTION,
    EXIT_DESCRIPTION,
    PROMPT_DESCRIPTION,
    QueryString,
    body_config,
    check_same_encoder,
    select_encoder,
)
from nestvec.service.batching.speed import EngineSpeed
from nestvec.service.batching.threads import WorkThread
from nestvec.service.bodies.fields import Inputs, TextOrTexts
from nestvec.service.bodies.foreign_fields import Returned
from nestvec.service.bodies.route import BodyRoute
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import LoadedEncoder, resolve_encoder
from nestvec.service.preprocess.tokenizer import TextTokenizer, Token
from nestvec.service.prompts import choose_prompt, put_prompt
from nestvec.service.request_context import current_context
from nestvec_schemas.bridges.view import selected_bridge
from nestvec_schemas.errors import EmptyInput, InputTooLong
from nestvec_schemas.fingerprint import check_fingerprint, fingerprints_of
from nestvec_schemas.manifest import Manifest, PromptName

router = APIRouter(tags=["TEI"], responses=error_models("/embed"), route_class=BodyRoute)

MAX_TOKENIZED_CHARACTERS: Final = 1 << 18
"""Characters that one request may have tokenized: each becomes some 60 bytes of JSON."""

_TOKENS_WRITTEN: Final = 1024
"""Tokens that are written at once, in a third of a millisecond."""

_MAX_INLINE_CHARACTERS: Final = 4096

_thread: Final = WorkThread("nestvec-tokenize")

INPUTS_FIELD: Final = Field(
    description="A text, texts, or token ids.", examples=[["heat flow in shock waves"]]
)


class EmbedRequest(ParameterFields):
    """TEI's request. The fields that TEI does not have may also be in the query string."""

    inputs: Annotated[Inputs, INPUTS_FIELD]
    prompt_name: PromptName | None = Field(None, description=PROMPT_DESCRIPTION)
    normalize: StrictBool | None = Field(
        None, description="Normalise vectors to unit length. Default: as the encoder was trained."
    )
    dimensions: int | None = Field(None, description=DIM_DESCRIPTION)
    encoder: str | None = Field(None, description=ENCODER_DESCRIPTION)
    exit: int | None = Field(None, description=EXIT_DESCRIPTION)


class TokenizeRequest(ApiRequest):
    """TEI's request for the tokens of texts."""

    returned: ClassVar[Returned] = "tokens"

    inputs: Annotated[TextOrTexts, Field(description="A text or texts.", examples=[["heat flow"]])]
    add_special_tokens: StrictBool = True
    prompt_name: PromptName | None = Field(None, description=PROMPT_DESCRIPTION)


class TokenInfo(BaseModel):
    id: int
    text: str
    special: bool
    start: int | None = Field(description="First character; null for a special token.")
    stop: int | None


@router.post("/embed", response_model=list[list[float]], summary="Embed texts")
@router.post("/", response_model=list[list[float]], summary="Embed texts")
async def embed_texts(body: EmbedRequest, request: Request, query: QueryString) -> Response:
    """Vectors, one per text, always as a 2-D array."""
    settings = embedder_of(request).settings
    check_same_encoder(query, body.encoder)
    call = EmbedCall(
        inputs=as_input_list(body.inputs),
        config=select_encoder(query, body_config(body.encoder, body.dimensions, body.exit)),
        truncation=body.truncation(query, settings),
        on_error=query.on_error or settings.on_error,
        modality=query.modality,
        normalised=body.normalize,
        prompt=body.prompt_name,
    )
    result = await embed_dense(request, call)
    return await json_response(lambda: result.vectors, result, call.inputs)


@router.post("/tokenize", response_model=list[list[TokenInfo]], summary="Tokenize texts")
async def tokenize(body: TokenizeRequest, request: Request, query: QueryString) -> Response:
    """Every token of each text with the characters it stands for; nothing is truncated."""
    embedder = embedder_of(request)
    config = select_encoder(query)
    encoder = embedder.encoders[resolve_encoder(embedder.encoders, config.encoder)]
    check_fingerprint(encoder.manifest, config.fingerprint)
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    check_count(texts, embedder.settings.load.inputs)
    _check_tokenizable(texts)
    choice = choose_prompt(encoder.manifest, body.prompt_name, config)
    texts = [str(text) for text in put_prompt(texts, choice, encoder)]
    tokenizers = [encoder.tokenizer_of(encoder.part_of(text, config.expert, choice.role)) for text in texts]
    write = partial(_write_tokens, tokenizers, texts, special=body.add_special_tokens)
    content = write() if sum(map(len, texts)) <= _MAX_INLINE_CHARACTERS else await _thread.run(write)
    return Response(content, media_type="application/json")


def _write_tokens(tokenizers: Sequence[TextTokenizer], texts: Sequence[str], *, special: bool) -> bytes:
    """One text after the other: hundreds of thousands of objects would keep the garbage collector busy."""
    rows = []
    for tokenizer, text in zip(tokenizers, texts, strict=True):
        current_context().check_deadline("its texts were tokenized")
        tokens = tokenizer.tokenize([text], special=special)[0]
        starts = range(0, len(tokens), _TOKENS_WRITTEN)
        rows.append(b",".join(_dump_tokens(tokens[start : start + _TOKENS_WRITTEN]) for start in starts))
    return b"[[" + b"],[".join(rows) + b"]]"


def _dump_tokens(tokens: Sequence[Token]) -> bytes:
    """Tokens as JSON objects with commas between them."""
    rows = [
        {"id": id_, "text": text, "special": special, "start": start, "stop": stop}
        for id_, text, special, start, stop in tokens
    ]
    return orjson.dumps(rows)[1:-1]


def _check_tokenizable(texts: list[str]) -> None:
    if "" in texts:
        raise EmptyInput("a text is empty", next_step="Send at least one character.")
    characters = sum(map(len, texts))
    if characters > MAX_TOKENIZED_CHARACTERS:
        raise InputTooLong(
            f"a request to tokenize holds at most {MAX_TOKENIZED_CHARACTERS} characters",
            value=characters,
            next_step="Split the texts over several requests.",
        )


@router.get("/info", summary="Describe the service")
async def info(request: Request) -> dict[str, Any]:
    """TEI's fields for the first encoder, and the dims, exits, prompts and limits of every encoder."""
    return service_info(embedder_of(request))


def service_info(embedder: Embedder) -> dict[str, Any]:
    """The body of ``/info``."""
    encoders = dict(sorted(embedder.encoders.items()))
    first = next(iter(encoders.values())).manifest
    engine = embedder.engine_info(first.name)
    settings = embedder.settings
    return {
        "model_id": first.source,
        "model_sha": first.files.get("1/model.onnx"),
        "model_dtype": first.precision,
        "model_type": _model_type(first),
        "max_concurrent_requests": settings.load.requests,
        "max_input_length": first.main_tower.max_tokens,
        "max_batch_tokens": settings.batches.tokens,
        "max_batch_requests": settings.batches.texts,
        "max_client_batch_size": settings.load.inputs,
        "auto_truncate": settings.overlong != "error",
        "tokenization_workers": None,
        "version": __version__,
        "sha": None,
        "docker_label": None,
        "engine": engine.name,
        "engine_version": engine.version or None,
        "provider": engine.provider or None,
        "device": engine.device or None,
        "settings": settings.public(),
        "encoders": {
            name: _encoder_info(encoder)
            | {"loaded": embedder.encoders.instance(name).resident}
            | {"engine": _engine_info(embedder.engine_info(name), encoder.manifest)}
            | _speed_info(embedder.speed(name))
            for name, encoder in encoders.items()
        },
        "aliases": dict(embedder.encoders.aliases),
    }


def _encoder_info(encoder: LoadedEncoder) -> dict[str, Any]:
    manifest, fingerprints = encoder.manifest, fingerprints_of(encoder.manifest)
    return {
        "dim": manifest.dim,
        "dims": manifest.dims,
        "layers": manifest.layers,
        "kind": manifest.kind,
        "activation": manifest.main_tower.activation,
        "towers": list(manifest.towers),
        "pictures": encoder.reads_images,
        "frames": manifest.towers["image"].frames if "image" in manifest.towers else None,
        "experts": list(manifest.experts),
        "max_tokens": manifest.main_tower.max_tokens,
        "precision": manifest.precision,
        "normalised": manifest.normalised,
        "nesting": manifest.nesting,
        "prompts": manifest.prompts,
        "default_prompt": manifest.default_prompt,
        "fingerprint": fingerprints.space,
        "variant": fingerprints.variant,
        "exported": None if manifest.fingerprint is None else manifest.fingerprint.date,
        "bridge": _bridge_info(manifest),
    }


def _bridge_info(manifest: Manifest) -> dict[str, Any] | None:
    """Of a bridge, what it was fitted on and what it keeps; of an encoder itself, None."""
    bridge = selected_bridge(manifest)
    if bridge is None:
        return None
    return bridge.model_dump(mode="json", exclude={"exit", "query_exit", "dim", "dims", "compared"})


def _engine_info(engine: EngineInfo, manifest: Manifest) -> dict[str, Any]:
    """What runs an encoder, what that computes in, and why it is not what is tried first."""
    return {
        "name": engine.name,
        "version": engine.version or None,
        "provider": engine.provider or None,
        "device": engine.device or None,
        "precision": engine.precision or manifest.precision,
        "cosine": None if engine.cosine is None else round(engine.cosine, 6),
        "reason": engine.reason or None,
        "streams": engine.streams,
    }


def _speed_info(speed: EngineSpeed | None) -> dict[str, Any]:
    """What the engine has been measured to do; null until it has run a full batch of long texts."""
    return {
        "tokens_per_second": None if speed is None else _significant(speed.tokens_per_second),
        "texts_per_second": None if speed is None else _significant(speed.texts_per_second),
        "recommended_chunk": None if speed is None else speed.recommended_chunk,
    }


def _significant(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.3g}")


def _model_type(manifest: Manifest) -> dict[str, object]:
    """As TEI writes it; a reranker of one label has TEI's only label name."""
    if manifest.kind == "reranker":
        return {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}}
    return {"embedding": {"pooling": manifest.main_tower.pooling}}
