"""What every face has in common: which encoder and dim a request means, and the vectors for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query, Request

from nestvec.service.embedder import Cut, Embedder, Input
from nestvec.service.encoders import choose
from nestvec_schemas.errors import BodyInvalid, EmptyInput, TooManyInputs
from nestvec_schemas.manifest import Manifest, PromptName
from nestvec_schemas.vectors import Vectors, check_dim, nest

EncoderQuery = Annotated[
    str | None, Query(alias="encoder", description="Encoder; not needed where there is one.")
]
DimQuery = Annotated[
    int | None, Query(alias="dim", description="First so many numbers of each vector, normalised again.")
]


@dataclass(frozen=True)
class Ask:
    """A request, free of its face. ``dim`` None is full length; ``normalised`` None as exported."""

    inputs: Sequence[Input]
    encoder: str | None
    dim: int | None
    cut: Cut
    normalised: bool | None = None
    prompt: PromptName | None = None


@dataclass(frozen=True)
class Answer:
    """(n, dim) float32, what it took, and how many of the n texts were cut."""

    vectors: Vectors
    encoder: str
    tokens: int
    truncated: int


def embedder_of(request: Request) -> Embedder:
    """The app's embedder."""
    embedder: Embedder = request.app.state.embedder
    return embedder


async def answer(embedder: Embedder, ask: Ask) -> Answer:
    """Embed, truncate, normalise. Raises RequestError, EncoderNotFound, DimNotOffered, EngineError."""
    name = choose(embedder.encoders, ask.encoder)
    manifest = embedder.encoders[name].manifest
    dim = manifest.dim if ask.dim is None else ask.dim
    check_dim(dim, manifest.dim)
    inputs = _with_prompt(ask.inputs, ask.prompt, manifest) if ask.prompt else ask.inputs
    _check_count(inputs, embedder.settings.max_inputs)
    embedded = await embedder.embed(name, inputs, ask.cut)
    normalised = manifest.normalised if ask.normalised is None else ask.normalised
    vectors = nest(embedded.vectors, dim, normalised=normalised)
    return Answer(vectors, name, embedded.tokens, embedded.truncated)


def agreed_dim(query: int | None, body: int | None) -> int | None:
    """The dim from the query string or from the body. Raises BodyInvalid where they disagree."""
    if query is not None and body is not None and query != body:
        raise BodyInvalid(
            "the query string and the body ask for different dims",
            value=f"dim={query}, dimensions={body}",
            next_step="Give one of the two.",
        )
    return body if query is None else query


def listed(inputs: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]) -> list[Input]:
    """The inputs as a list: one text and one text's ids are lists of one."""
    if isinstance(inputs, str):
        return [inputs]
    if inputs and isinstance(inputs[0], int):
        return [[one for one in inputs if isinstance(one, int)]]
    return [one for one in inputs if not isinstance(one, int)]


def headers(result: Answer, asked: Sequence[Input]) -> dict[str, str]:
    """What the answer took, in TEI's header names, and how many texts were cut."""
    return {
        "x-compute-tokens": str(result.tokens),
        "x-compute-characters": str(sum(len(one) for one in asked if isinstance(one, str))),
        "x-nestvec-truncated": str(result.truncated),
    }


def _check_count(inputs: Sequence[Input], most: int) -> None:
    if not inputs:
        raise EmptyInput("there is no text to embed", next_step="Send at least one.")
    if len(inputs) > most:
        raise TooManyInputs(
            f"a request holds at most {most} texts", value=len(inputs), next_step="Send them in several."
        )


def _with_prompt(inputs: Sequence[Input], name: PromptName, manifest: Manifest) -> list[Input]:
    if not all(isinstance(one, str) for one in inputs):
        raise BodyInvalid("a prompt goes before text, not before token ids", next_step="Send the text.")
    return [f"{manifest.prompt(name)}{one}" for one in inputs]
