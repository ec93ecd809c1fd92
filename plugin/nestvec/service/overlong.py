"""Texts longer than the encoder takes: refused, cut, or embedded whole as the mean of their chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nestvec.service.embedder import NO_TIME, Cut, Embedder, Input, Timing
from nestvec.service.settings import Overlong
from nestvec.service.tokens import Direction, Pieces, Tokeniser
from nestvec_schemas.errors import InputTooLong
from nestvec_schemas.vectors import Vectors

MOST_CHUNKS = 64
"""Chunks that one text may have: past that it is a file, and one vector says little of it."""

_CHARACTERS = 32
"""More characters than a token of any ordinary text stands for."""


@dataclass(frozen=True)
class Policy:
    """What becomes of an overlong text; ``direction`` is the side that is cut, where it is cut."""

    overlong: Overlong = "truncate"
    direction: Direction = "right"


@dataclass(frozen=True)
class Whole:
    """(n, dim) float32 at full length, the tokens they took, and how many texts were cut or chunked."""

    vectors: Vectors
    tokens: int
    truncated: int = 0
    chunked: int = 0
    timing: Timing = NO_TIME


async def embed(
    embedder: Embedder, encoder: str, inputs: Sequence[Input], policy: Policy, exit: int | None = None
) -> Whole:
    """Embed each input with one encoder, up to one of its exits; overlong ones as ``policy`` says.

    Raises what Embedder.embed does, and InputTooLong for a text of more than MOST_CHUNKS chunks.
    """
    if policy.overlong != "mean":
        cut = Cut(policy.overlong == "truncate", policy.direction)
        embedded = await embedder.embed(encoder, inputs, cut, exit)
        return Whole(embedded.vectors, embedded.tokens, embedded.truncated, timing=embedded.timing)
    pieces = await asyncio.to_thread(_split, embedder.encoders[encoder].tokeniser, inputs)
    asked: list[Input] = []
    for one, its in zip(inputs, pieces, strict=True):
        # A text that fits is asked for as it is: it may be remembered, or in flight for another field.
        asked.extend([one] if len(its.ids) == 1 else [ids.tolist() for ids in its.ids])
    embedded = await embedder.embed(encoder, asked, Cut(), exit)
    vectors = mean_of_chunks(embedded.vectors, [its.weights for its in pieces])
    chunked = sum(len(its.ids) > 1 for its in pieces)
    return Whole(vectors, embedded.tokens, chunked=chunked, timing=embedded.timing)


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


def _split(tokeniser: Tokeniser, inputs: Sequence[Input]) -> list[Pieces]:
    most = MOST_CHUNKS * tokeniser.max_tokens
    for one in inputs:
        # So many characters need no counting of tokens.
        if len(one) > (_CHARACTERS * most if isinstance(one, str) else most):
            raise _too_long(tokeniser, len(one))
    texts = iter(tokeniser.split([one for one in inputs if isinstance(one, str)]))
    pieces = [next(texts) if isinstance(one, str) else tokeniser.split_ids(one) for one in inputs]
    for one, its in zip(inputs, pieces, strict=True):
        if len(its.ids) > MOST_CHUNKS:
            raise _too_long(tokeniser, len(one))
    return pieces


def _too_long(tokeniser: Tokeniser, length: int) -> InputTooLong:
    return InputTooLong(
        f"a text has more than {MOST_CHUNKS} chunks of {tokeniser.max_tokens} tokens",
        value=f"its length is {length}",
        next_step="Send it as several texts, or ask with overlong=truncate.",
    )
