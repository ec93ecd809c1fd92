"""What every face has in common: a request free of its face, and the vectors for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import orjson
from fastapi import Request, Response
from pydantic import BaseModel, Field

from nestvec.service.api.selection import EncoderSelection, QueryFields
from nestvec.service.embedder import Embedder, EmbeddingResult, Variant
from nestvec.service.encoders import LoadedEncoder, resolve_encoder
from nestvec.service.middleware.disconnect import while_connected
from nestvec.service.preprocess import truncation
from nestvec.service.preprocess.inputs import EmbedInput, InstructedText
from nestvec.service.preprocess.tokenizer import Direction
from nestvec.service.preprocess.truncation import Policy
from nestvec.service.settings import Overlong, ServiceSettings
from nestvec_schemas.errors import BodyInvalid, EmptyInput, NotOffered, TooManyInputs
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.towers import Kind
from nestvec_schemas.vectors import Vectors, check_prefix_dim, nest

TokenId = Annotated[int, Field(ge=-(2**31), lt=2**31)]
"""An id that fits an array of integers; whether the encoder knows it is told later, and better."""

Inputs = str | list[str] | list[TokenId] | list[list[TokenId]]
"""A text, texts, the token ids of a text, or those of texts."""


class TruncationFields(BaseModel):
    """What becomes of overlong texts, in TEI's words."""

    truncate: bool | None = Field(None, description="Cut overlong texts (else the server's default).")
    truncation_direction: Literal["Right", "Left", "right", "left"] = "Right"

    def policy(self, query: QueryFields, server: ServiceSettings) -> Policy:
        """The query string's word goes before the body's, the body's before the server's."""
        asked: dict[bool | None, Overlong] = {None: server.overlong, True: "truncate", False: "error"}
        direction: Direction = "left" if self.truncation_direction.lower() == "left" else "right"
        return policy_of(query, server, asked[self.truncate], direction)


def policy_of(
    query: QueryFields,
    server: ServiceSettings,
    overlong: Overlong | None = None,
    direction: Direction = "right",
) -> Policy:
    """What becomes of inputs that are too long or not to be had: as the query string says, else ``overlong``
    and the server's settings."""
    return Policy(query.overlong or overlong or server.overlong, direction, query.on_error or server.on_error)


@dataclass(frozen=True)
class EmbedCall:
    """A request, free of its face. ``normalised`` None is as exported."""

    inputs: Sequence[EmbedInput]
    choice: EncoderSelection
    policy: Policy
    normalised: bool | None = None
    prompt: PromptName | None = None


@dataclass(frozen=True)
class Took:
    """What answering took: what was embedded, how many texts were chunked, and seconds."""

    encoder: str
    embedded: EmbeddingResult
    chunked: int
    seconds: float

    @property
    def tokens(self) -> int:
        return self.embedded.tokens


@dataclass(frozen=True)
class Answer:
    """(n, dim) float32, and what they took."""

    vectors: Vectors
    took: Took


def embedder_of(request: Request) -> Embedder:
    """The app's embedder."""
    embedder: Embedder = request.app.state.embedder
    return embedder


async def embed_dense(request: Request, ask: EmbedCall) -> Answer:
    """Embed, truncate, normalise.

    Raises RequestError, EncoderNotFound, DimNotOffered, ExitNotOffered, ExpertNotOffered, EngineError.

    A client that goes away meanwhile frees its place: asyncio.CancelledError, and nobody to tell.
    """
    started = time.perf_counter()
    manifest = selected_encoder(request, ask.choice, "dense").manifest
    dim = manifest.dim if ask.choice.dim is None else ask.choice.dim
    check_prefix_dim(dim, manifest.dim)
    took = await embed_inputs(request, ask)
    normalised = manifest.normalised if ask.normalised is None else ask.normalised
    vectors = nest(took.embedded.vectors, dim, normalised=normalised)
    return Answer(vectors, replace(took, seconds=time.perf_counter() - started))


async def embed_inputs(request: Request, ask: EmbedCall) -> Took:
    """What the encoder gives for a request's inputs, of whatever kind it is. Raises as ``answer`` does."""
    started = time.perf_counter()
    embedder = embedder_of(request)
    choice = ask.choice
    name = resolve_encoder(embedder.encoders, choice.encoder)
    check_count(ask.inputs, embedder.settings.max_inputs)
    inputs = [embedder.encoders[name].plain(value) for value in ask.inputs]
    inputs = with_prompt(inputs, ask.prompt, embedder.encoders[name]) if ask.prompt else inputs
    embedding = truncation.embed(embedder, name, inputs, ask.policy, Variant(choice.exit, choice.expert))
    whole = await while_connected(request, embedding)
    return Took(name, whole.embedded, whole.chunked, time.perf_counter() - started)


_PATHS_BY_KIND: dict[Kind, str] = {
    "dense": "/embed, /v1/embeddings or /v2/embed",
    "sparse": "/embed_sparse",
    "multivector": "/embed_all or /rerank",
    "reranker": "/rerank",
}
"""Where an encoder of each kind answers."""


def selected_encoder(request: Request, choice: EncoderSelection, *kinds: Kind) -> LoadedEncoder:
    """The encoder that a request means. Raises EncoderNotFound, NotOffered where its kind is another."""
    encoders = embedder_of(request).encoders
    encoder = encoders[resolve_encoder(encoders, choice.encoder)]
    kind = encoder.manifest.kind
    if kind not in kinds:
        raise NotOffered(
            f"{encoder.manifest.name} is a {kind} encoder, and does not answer at this path",
            value=request.url.path,
            next_step=f"Ask at {_PATHS_BY_KIND[kind]}, or name an encoder that is {' or '.join(kinds)}.",
        )
    return encoder


def as_input_list(inputs: Inputs) -> list[EmbedInput]:
    """The inputs as a list: one text and one text's ids are lists of one."""
    if isinstance(inputs, str):
        return [inputs]
    if inputs and isinstance(inputs[0], int):
        return [[item for item in inputs if isinstance(item, int)]]
    return [item for item in inputs if not isinstance(item, int)]


def check_count(inputs: Sequence[object], max_inputs: int) -> None:
    """Raise EmptyInput without a text, TooManyInputs with more than ``most``."""
    if not inputs:
        raise EmptyInput("there is no text", next_step="Send at least one.")
    if len(inputs) > max_inputs:
        raise TooManyInputs(
            f"a request holds at most {max_inputs} texts",
            value=len(inputs),
            next_step="Send them in several.",
        )


def with_prompt(inputs: Sequence[EmbedInput], name: PromptName, encoder: LoadedEncoder) -> list[EmbedInput]:
    """Each text with the encoder's prompt of this name before it. Raises BodyInvalid for token ids."""
    if not all(isinstance(value, str | InstructedText) for value in inputs):
        raise BodyInvalid("a prompt goes before text, not before token ids", next_step="Send the text.")
    prompt = encoder.manifest.prompt(name)
    if encoder.chat is not None:
        return [
            InstructedText(value, prompt) if isinstance(value, str) and value and prompt else value
            for value in inputs
        ]
    return [f"{prompt}{value}" if value and encoder.tower(value) == "text" else value for value in inputs]


def json_response(body: object, took: Took, inputs: Sequence[EmbedInput]) -> Response:
    """``body`` as JSON; what it took in TEI's header names; how many inputs were cut, chunked, not read."""
    embedded = took.embedded
    return Response(
        orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY),
        media_type="application/json",
        headers={
            "x-compute-tokens": str(took.tokens),
            "x-compute-characters": str(sum(len(value) for value in inputs if isinstance(value, str))),
            "x-total-time": str(round(took.seconds * 1000)),
            "x-queue-time": str(round(embedded.timing.queued * 1000)),
            "x-inference-time": str(round(embedded.timing.ran * 1000)),
            "x-nestvec-truncated": str(embedded.truncated),
            "x-nestvec-chunked": str(took.chunked),
            "x-nestvec-failed": str(len(embedded.failed)),
        },
    )
