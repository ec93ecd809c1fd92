"""What every face has in common: a request free of its face, and the vectors for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import orjson
from fastapi import Request, Response
from pydantic import BaseModel, Field

from nestvec.service.api.choice import Choice, InQuery
from nestvec.service.batching import truncation
from nestvec.service.batching.embedder import Embedded, Embedder, Variant
from nestvec.service.batching.truncation import Policy
from nestvec.service.encoders import Encoder, choose
from nestvec.service.middleware.disconnect import while_connected
from nestvec.service.preprocess.inputs import Input, Instructed
from nestvec.service.preprocess.tokenizer import Direction
from nestvec.service.settings import Overlong, Settings
from nestvec_schemas.errors import BodyInvalid, EmptyInput, NotOffered, TooManyInputs
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.towers import Kind
from nestvec_schemas.vectors import Vectors, check_dim, nest

TokenId = Annotated[int, Field(ge=-(2**31), lt=2**31)]
"""An id that fits an array of integers; whether the encoder knows it is told later, and better."""

Inputs = str | list[str] | list[TokenId] | list[list[TokenId]]
"""A text, texts, the token ids of a text, or those of texts."""


class Truncation(BaseModel):
    """What becomes of overlong texts, in TEI's words."""

    truncate: bool | None = Field(None, description="Cut overlong texts (else the server's default).")
    truncation_direction: Literal["Right", "Left", "right", "left"] = "Right"

    def policy(self, query: InQuery, server: Settings) -> Policy:
        """The query string's word goes before the body's, the body's before the server's."""
        asked: dict[bool | None, Overlong] = {None: server.overlong, True: "truncate", False: "error"}
        direction: Direction = "left" if self.truncation_direction.lower() == "left" else "right"
        return policy_of(query, server, asked[self.truncate], direction)


def policy_of(
    query: InQuery, server: Settings, overlong: Overlong | None = None, direction: Direction = "right"
) -> Policy:
    """What becomes of inputs that are too long or not to be had: as the query string says, else ``overlong``
    and the server's settings."""
    return Policy(query.overlong or overlong or server.overlong, direction, query.on_error or server.on_error)


@dataclass(frozen=True)
class Ask:
    """A request, free of its face. ``normalised`` None is as exported."""

    inputs: Sequence[Input]
    choice: Choice
    policy: Policy
    normalised: bool | None = None
    prompt: PromptName | None = None


@dataclass(frozen=True)
class Took:
    """What answering took: what was embedded, how many texts were chunked, and seconds."""

    encoder: str
    embedded: Embedded
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


async def answer(request: Request, ask: Ask) -> Answer:
    """Embed, truncate, normalise.

    Raises RequestError, EncoderNotFound, DimNotOffered, ExitNotOffered, ExpertNotOffered, EngineError.

    A client that goes away meanwhile frees its place: asyncio.CancelledError, and nobody to tell.
    """
    started = time.perf_counter()
    manifest = chosen(request, ask.choice, "dense").manifest
    dim = manifest.dim if ask.choice.dim is None else ask.choice.dim
    check_dim(dim, manifest.dim)
    took = await run(request, ask)
    normalised = manifest.normalised if ask.normalised is None else ask.normalised
    vectors = nest(took.embedded.vectors, dim, normalised=normalised)
    return Answer(vectors, replace(took, seconds=time.perf_counter() - started))


async def run(request: Request, ask: Ask) -> Took:
    """What the encoder gives for a request's inputs, of whatever kind it is. Raises as ``answer`` does."""
    started = time.perf_counter()
    embedder = embedder_of(request)
    choice = ask.choice
    name = choose(embedder.encoders, choice.encoder)
    check_count(ask.inputs, embedder.settings.max_inputs)
    inputs = [embedder.encoders[name].plain(one) for one in ask.inputs]
    inputs = with_prompt(inputs, ask.prompt, embedder.encoders[name]) if ask.prompt else inputs
    embedding = truncation.embed(embedder, name, inputs, ask.policy, Variant(choice.exit, choice.expert))
    whole = await while_connected(request, embedding)
    return Took(name, whole.embedded, whole.chunked, time.perf_counter() - started)


_WHERE: dict[Kind, str] = {
    "dense": "/embed, /v1/embeddings or /v2/embed",
    "sparse": "/embed_sparse",
    "multivector": "/embed_all or /rerank",
    "reranker": "/rerank",
}
"""Where an encoder of each kind answers."""


def chosen(request: Request, choice: Choice, *kinds: Kind) -> Encoder:
    """The encoder that a request means. Raises EncoderNotFound, NotOffered where its kind is another."""
    encoders = embedder_of(request).encoders
    encoder = encoders[choose(encoders, choice.encoder)]
    kind = encoder.manifest.kind
    if kind not in kinds:
        raise NotOffered(
            f"{encoder.manifest.name} is a {kind} encoder, and does not answer at this path",
            value=request.url.path,
            next_step=f"Ask at {_WHERE[kind]}, or name an encoder that is {' or '.join(kinds)}.",
        )
    return encoder


def listed(inputs: Inputs) -> list[Input]:
    """The inputs as a list: one text and one text's ids are lists of one."""
    if isinstance(inputs, str):
        return [inputs]
    if inputs and isinstance(inputs[0], int):
        return [[one for one in inputs if isinstance(one, int)]]
    return [one for one in inputs if not isinstance(one, int)]


def check_count(inputs: Sequence[object], most: int) -> None:
    """Raise EmptyInput without a text, TooManyInputs with more than ``most``."""
    if not inputs:
        raise EmptyInput("there is no text", next_step="Send at least one.")
    if len(inputs) > most:
        raise TooManyInputs(
            f"a request holds at most {most} texts", value=len(inputs), next_step="Send them in several."
        )


def with_prompt(inputs: Sequence[Input], name: PromptName, encoder: Encoder) -> list[Input]:
    """Each text with the encoder's prompt of this name before it. Raises BodyInvalid for token ids."""
    if not all(isinstance(one, str | Instructed) for one in inputs):
        raise BodyInvalid("a prompt goes before text, not before token ids", next_step="Send the text.")
    prompt = encoder.manifest.prompt(name)
    if encoder.chat is not None:
        return [Instructed(one, prompt) if isinstance(one, str) and one and prompt else one for one in inputs]
    return [f"{prompt}{one}" if one and encoder.tower(one) == "text" else one for one in inputs]


def written(body: object, took: Took, asked: Sequence[Input]) -> Response:
    """``body`` as JSON; what it took in TEI's header names; how many inputs were cut, chunked, not read."""
    embedded = took.embedded
    return Response(
        orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY),
        media_type="application/json",
        headers={
            "x-compute-tokens": str(took.tokens),
            "x-compute-characters": str(sum(len(one) for one in asked if isinstance(one, str))),
            "x-total-time": str(round(took.seconds * 1000)),
            "x-queue-time": str(round(embedded.timing.queued * 1000)),
            "x-inference-time": str(round(embedded.timing.ran * 1000)),
            "x-nestvec-truncated": str(embedded.truncated),
            "x-nestvec-chunked": str(took.chunked),
            "x-nestvec-failed": str(len(embedded.failed)),
        },
    )
