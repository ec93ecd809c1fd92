"""Texts longer than the encoder takes: refused, truncated, or embedded as the mean of their chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from nestvec.service.preprocess.inputs import EmbedInput, InstructedText, QueryDocument
from nestvec.service.preprocess.tokenizer import Direction, TextTokenizer, TokenChunks
from nestvec_schemas.errors import InputTooLong, NestvecError
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

Overlong = Literal["error", "truncate", "mean"]
"""What happens to a text longer than the encoder takes: it is refused, truncated, or embedded in chunks whose
token-weighted mean is its vector."""

MAX_CHUNKS: Final = 64
"""Chunks of one text: a longer text is a file, and one vector says little about it."""

_MAX_CHARACTERS_PER_TOKEN: Final = 32
"""More characters than a token of any ordinary text stands for."""


@dataclass(frozen=True)
class Truncation:
    """What happens to a text longer than the encoder takes."""

    overlong: Overlong = "truncate"
    direction: Direction | None = None
    """The side that loses tokens if the text is truncated; None leaves it to the encoder."""

    def side(self, tower: Tower) -> Direction:
        """The side that a tower's texts lose tokens on."""
        return self.direction or tower.truncation_side


@dataclass(frozen=True)
class ChunkedInputs:
    """The inputs of a request, with each overlong text replaced by its chunks."""

    inputs: list[EmbedInput]
    """c chunks, all texts' one after the other"""
    weights: list[tuple[int, ...]]
    """For each of the n original inputs the tokens of its chunks: c numbers in all."""

    @property
    def chunked_texts(self) -> int:
        """How many of the original inputs have more than one chunk."""
        return sum(len(weights) > 1 for weights in self.weights)

    def mean_vectors(self, vectors: Vectors) -> Vectors:
        """The vectors of the original inputs, (n, dim), from those of the chunks, (c, dim)."""
        return mean_of_chunks(vectors, self.weights)

    def failures(self, by_chunk: Mapping[int, NestvecError]) -> dict[int, NestvecError]:
        """Errors by the position of the original input, from errors by the position of the chunk."""
        owners = [place for place, weights in enumerate(self.weights) for _ in weights]
        return {owners[place]: error for place, error in by_chunk.items()}


def chunk_inputs(
    tokenizer: TextTokenizer, inputs: Sequence[EmbedInput], is_text: Sequence[bool]
) -> ChunkedInputs:
    """Split each overlong text into chunks; other inputs, and those whose ``is_text`` is false, are kept.

    Raises InputTooLong for a text of more than MAX_CHUNKS chunks.
    """
    texts = [
        value
        for value, chunkable in zip(inputs, is_text, strict=True)
        if chunkable and not isinstance(value, QueryDocument | InstructedText)
    ]
    chunks_of_texts = iter(_chunk(tokenizer, texts))
    chunked = ChunkedInputs([], [])
    for value, chunkable in zip(inputs, is_text, strict=True):
        chunks = None
        if chunkable and not isinstance(value, QueryDocument | InstructedText):
            chunks = next(chunks_of_texts)
        if chunks is None or len(chunks.ids) == 1:
            # A text that fits stays as it is: it may be cached, or in flight for another field.
            chunked.inputs.append(value)
            chunked.weights.append((1,))
        else:
            chunked.inputs.extend(ids.tolist() for ids in chunks.ids)
            chunked.weights.append(chunks.weights)
    return chunked


def mean_of_chunks(vectors: Vectors, weights: Sequence[Sequence[int]]) -> Vectors:
    """Each text's vector as the mean of its chunks' vectors, weighted by their tokens.

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


def _chunk(tokenizer: TextTokenizer, inputs: Sequence[str | Sequence[int]]) -> list[TokenChunks]:
    max_tokens = MAX_CHUNKS * tokenizer.max_tokens
    for value in inputs:
        # A text of this many characters is too long whatever its tokens are.
        if len(value) > (_MAX_CHARACTERS_PER_TOKEN * max_tokens if isinstance(value, str) else max_tokens):
            raise _too_many_chunks(tokenizer, len(value))
    texts = iter(tokenizer.chunk([value for value in inputs if isinstance(value, str)]))
    chunks = [next(texts) if isinstance(value, str) else tokenizer.chunk_ids(value) for value in inputs]
    for value, chunked in zip(inputs, chunks, strict=True):
        if len(chunked.ids) > MAX_CHUNKS:
            raise _too_many_chunks(tokenizer, len(value))
    return chunks


def _too_many_chunks(tokenizer: TextTokenizer, length: int) -> InputTooLong:
    return InputTooLong(
        f"a text has more than {MAX_CHUNKS} chunks of {tokenizer.max_tokens} tokens",
        value=f"its length is {length}",
        next_step="Send it as several texts, or request overlong=truncate.",
    )
