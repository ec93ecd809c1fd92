"""Texts longer than the encoder takes: refused, cut, or embedded whole as the mean of their chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nestvec.service.embedder import Embedder, EmbeddingResult, Variant
from nestvec.service.encoders import TextTokenizer
from nestvec.service.preprocess.inputs import Cut, EmbedInput, InstructedText, QueryDocument
from nestvec.service.preprocess.tokenizer import Direction, TokenChunks
from nestvec.service.settings import OnError, Overlong
from nestvec_schemas.errors import InputTooLong, NestvecError
from nestvec_schemas.vectors import Vectors

MAX_CHUNKS = 64
"""Chunks that one text may have: past that it is a file, and one vector says little of it."""

_MAX_CHARACTERS_PER_TOKEN = 32
"""More characters than a token of any ordinary text stands for."""


@dataclass(frozen=True)
class Policy:
    """What becomes of an overlong text, and of what cannot be read; ``direction`` is the side that is cut."""

    overlong: Overlong = "truncate"
    direction: Direction = "right"
    on_error: OnError = "error"


@dataclass(frozen=True)
class Whole:
    """What was embedded, with how many texts were chunked."""

    embedded: EmbeddingResult
    chunked: int = 0


async def embed(
    embedder: Embedder, encoder: str, inputs: Sequence[EmbedInput], policy: Policy, variant: Variant
) -> Whole:
    """Embed each input with one variant of one encoder; overlong ones as ``policy`` says.

    Only vectors have a mean, and messages have layouts: encoders of another kind cut, and so do chat models.
    Raises what Embedder.embed does, and InputTooLong for a text of more than MOST_CHUNKS chunks.
    """
    holder = embedder.encoders[encoder]
    mean = policy.overlong == "mean" and holder.manifest.kind == "dense" and holder.chat is None
    if not mean or holder.reader is None:
        cut = Cut(policy.overlong != "error", policy.direction, policy.on_error)
        return Whole(await embedder.embed(encoder, inputs, cut, variant))
    texts = [
        one
        for one in inputs
        if not isinstance(one, QueryDocument | InstructedText) and holder.tower(one) == "text"
    ]
    pieces = iter(await asyncio.to_thread(_chunk, holder.reader, texts))
    asked: list[EmbedInput] = []
    weights: list[tuple[int, ...]] = []
    for one in inputs:
        its = (
            None
            if isinstance(one, QueryDocument | InstructedText) or holder.tower(one) != "text"
            else next(pieces)
        )
        # A text that fits is asked for as it is: it may be remembered, or in flight for another field.
        chunks = [one] if its is None or len(its.ids) == 1 else [ids.tolist() for ids in its.ids]
        asked.extend(chunks)
        weights.append(its.weights if its is not None and len(chunks) > 1 else (1,))
    embedded = await embedder.embed(encoder, asked, Cut(on_error=policy.on_error), variant)
    means = mean_of_chunks(embedded.vectors, weights)
    return Whole(
        replace(
            embedded, answers=list(means), truncated=0, failed=_failures_by_text(embedded.failed, weights)
        ),
        chunked=sum(len(its) > 1 for its in weights),
    )


def _failures_by_text(
    failed: Mapping[int, NestvecError], weights: Sequence[Sequence[int]]
) -> dict[int, NestvecError]:
    """What failed by the place of its text, where it was by its chunk's."""
    owners = [place for place, its in enumerate(weights) for _ in its]
    return {owners[place]: error for place, error in failed.items()}


def mean_of_chunks(vectors: Vectors, weights: Sequence[Sequence[int]]) -> Vectors:
    """Each text's vector as the mean of its chunks', weighted by their tokens.

    ``vectors`` is (c, dim) float32, the chunks of all texts one after the other; ``weights`` holds for each
    of n texts the tokens of its chunks, c in all. The result is (n, dim) float32, not normalised; the
    vector of a text of one chunk is that chunk's, unchanged.
    """
    means = np.empty((len(weights), vectors.shape[1]), np.float32)
    first = 0
    for line, tokens in enumerate(weights):
        chunks = vectors[first : first + len(tokens)]
        means[line] = chunks[0] if len(tokens) == 1 else np.average(chunks, axis=0, weights=tokens)
        first += len(tokens)
    return means


def _chunk(tokeniser: TextTokenizer, inputs: Sequence[str | Sequence[int]]) -> list[TokenChunks]:
    most = MAX_CHUNKS * tokeniser.max_tokens
    for one in inputs:
        # So many characters need no counting of tokens.
        if len(one) > (_MAX_CHARACTERS_PER_TOKEN * most if isinstance(one, str) else most):
            raise _too_many_chunks(tokeniser, len(one))
    texts = iter(tokeniser.split([one for one in inputs if isinstance(one, str)]))
    pieces = [next(texts) if isinstance(one, str) else tokeniser.split_ids(one) for one in inputs]
    for one, its in zip(inputs, pieces, strict=True):
        if len(its.ids) > MAX_CHUNKS:
            raise _too_many_chunks(tokeniser, len(one))
    return pieces


def _too_many_chunks(tokeniser: TextTokenizer, length: int) -> InputTooLong:
    return InputTooLong(
        f"a text has more than {MAX_CHUNKS} chunks of {tokeniser.max_tokens} tokens",
        value=f"its length is {length}",
        next_step="Send it as several texts, or ask with overlong=truncate.",
    )
