"""Scores the documents of one request with its query, in pieces.

However many documents there are, a bounded number of them waits for the engine or is in memory as vectors.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from nestvec.service.embedder import Embedder, EmbedOptions
from nestvec.service.embedding_result import EmbeddingResult, Timing
from nestvec.service.preprocess.inputs import EmbedInput, QueryDocument
from nestvec.service.preprocess.modality import as_modality, check_modality
from nestvec.service.prompts import choose_prompt, put_prompt
from nestvec.service.request_context import current_context
from nestvec.service.scoring import (
    EMPTY_LOGIT,
    Float64Array,
    Scores,
    score_cosines,
    score_logits,
    score_token_sums,
)
from nestvec_schemas.errors import BodyInvalid, EmptyInput, InputTooLong, NotOffered, TooManyInputs
from nestvec_schemas.fingerprint import check_fingerprint
from nestvec_schemas.late_interaction import maxsim
from nestvec_schemas.manifest import Manifest, PromptName
from nestvec_schemas.towers import Modality, Role
from nestvec_schemas.vectors import Vectors, normalise

MAX_DOCUMENTS: Final = 1 << 16
"""Documents of one request."""

MAX_CHARACTERS: Final = 1 << 25
"""Characters of one request: its documents, and its query once for each of them."""

_PIECE_DOCUMENTS: Final = 512
_PIECE_CHARACTERS: Final = 1 << 19

_VISIBLE: Final = re.compile(
    r"[^\x00-\x20\x7f-\xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u1680\u180e\u2000-\u200f"
    r"\u2028-\u202f\u205f-\u2064\u2066-\u206f\u3000\ufeff\ufff9-\ufffb\U000110bd\U000110cd"
    r"\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]"
)
"""A character that is no white space, control or format character of Unicode (Zs, Zl, Zp, Cc, Cf).

An expression, because other requests wait while a body of millions of blanks is looked through."""


@dataclass(frozen=True)
class RankingTask:
    """The documents of one request, and what scores them."""

    encoder: str
    """The encoder's name in the service."""
    query: str
    documents: Sequence[str]
    options: EmbedOptions
    prompt: PromptName | None = None
    """The prompt of all texts, for dense encoders; late interaction has one for either side."""
    modality: Modality | None = None
    """What query and documents are; None for what they look like."""


class _Scorer(Protocol):
    """Scores pieces of the documents as encoders of one kind do."""

    started: EmbeddingResult
    """What the query took."""
    lowest: float
    """The raw score of a document that is blank or cannot be read: no other one has a lower."""

    async def score(self, documents: Sequence[str]) -> tuple[Float64Array, EmbeddingResult]:
        """The raw scores of a piece, (n,), and what the piece took."""

    def scores(self, raw: Float64Array) -> Scores:
        """The scores of all documents, from their raw ones."""


class _CrossEncoderScorer:
    """Scores pairs of the query with a document by their logits."""

    lowest = EMPTY_LOGIT

    def __init__(self, embedder: Embedder, task: RankingTask) -> None:
        self._embedder, self._task = embedder, task
        self.started = EmbeddingResult(task.encoder, [])

    async def score(self, documents: Sequence[str]) -> tuple[Float64Array, EmbeddingResult]:
        pairs: list[EmbedInput] = [QueryDocument(self._task.query, document) for document in documents]
        result = await self._embedder.embed(self._task.encoder, pairs, self._task.options)
        return result.vectors[:, 0].astype(np.float64), result

    def scores(self, raw: Float64Array) -> Scores:
        return score_logits(raw)


class _TokenScorer:
    """Scores a document by late interaction, with its own prompt."""

    def __init__(self, embedder: Embedder, task: RankingTask, query: EmbeddingResult) -> None:
        self._embedder, self._task = embedder, task
        self._query: Vectors = query.outputs[0]
        self.started = query
        self.lowest = -float(len(self._query))

    async def score(self, documents: Sequence[str]) -> tuple[Float64Array, EmbeddingResult]:
        result = await _embed_side(self._embedder, self._task, "document", documents)
        # On a thread: a piece is some hundred million multiplications.
        return await asyncio.to_thread(maxsim, self._query, list(result.outputs)), result

    def scores(self, raw: Float64Array) -> Scores:
        return score_token_sums(raw, len(self._query))


class _CosineScorer:
    """Scores a document by the cosine of its vector with the query's."""

    lowest = -1.0

    def __init__(self, embedder: Embedder, task: RankingTask, query: EmbeddingResult) -> None:
        self._embedder, self._task = embedder, task
        self._query = normalise(query.vectors)[0]
        self.started = query

    async def score(self, documents: Sequence[str]) -> tuple[Float64Array, EmbeddingResult]:
        result = await _embed_side(self._embedder, self._task, None, documents)
        return (normalise(result.vectors) @ self._query).astype(np.float64), result

    def scores(self, raw: Float64Array) -> Scores:
        return score_cosines(raw)


async def _scorer(embedder: Embedder, task: RankingTask) -> _Scorer:
    """The scorer of the task's encoder. Raises NotOffered for a sparse one."""
    manifest = embedder.encoders[task.encoder].manifest
    if manifest.kind == "reranker":
        return _CrossEncoderScorer(embedder, task)
    if manifest.kind == "multivector":
        return _TokenScorer(embedder, task, await _embed_query(embedder, task, "query"))
    if manifest.kind == "dense":
        return _CosineScorer(embedder, task, await _embed_query(embedder, task, None))
    raise NotOffered(
        f"{manifest.name} is a {manifest.kind} encoder, which scores no documents",
        next_step="Name a cross-encoder, or an encoder for late interaction.",
    )


async def _embed_side(
    embedder: Embedder, task: RankingTask, role: Role | None, texts: Sequence[str]
) -> EmbeddingResult:
    """The outputs for texts on one side, each behind the side's prompt."""
    encoder = embedder.encoders[task.encoder]
    choice = choose_prompt(encoder.manifest, role or task.prompt, task.options.config)
    inputs = as_modality(texts, encoder, task.modality)
    inputs = put_prompt([encoder.without_prompt(value) for value in inputs], choice, encoder)
    return await embedder.embed(task.encoder, inputs, replace(task.options, role=choice.role))


async def _embed_query(embedder: Embedder, task: RankingTask, role: Role | None) -> EmbeddingResult:
    """The query's outputs. Raises what is wrong with it also where the documents' faults pass: nothing is
    ranked by a vector of zeros."""
    options = replace(task.options, on_error="reject")
    return await _embed_side(embedder, replace(task, options=options), role, [task.query])


async def rank(embedder: Embedder, task: RankingTask) -> tuple[Scores, EmbeddingResult]:
    """The scores of the documents, and what they took; its outputs are the raw scores.

    A blank document has the lowest score there is, and so has one that cannot be read where the options let
    that pass. No score depends on the other documents. Raises what ``Embedder.embed`` does, whatever the
    options for a query that cannot be read, TooManyInputs, InputTooLong, EmptyInput for an empty query or no
    document, BodyInvalid for a dim, EncoderNotFound for an encoder of another fingerprint, PromptNotOffered.
    """
    check_ranking(task.query, task.documents)
    _check_encoder(embedder.encoders[task.encoder].manifest, task)
    check_modality(embedder.encoders[task.encoder], task.modality)
    scorer = await _scorer(embedder, task)
    raw = np.full(len(task.documents), scorer.lowest)
    result = scorer.started
    for places in _pieces(task):
        current_context().check_deadline("its documents were scored")
        raw[places], piece = await scorer.score([task.documents[place] for place in places])
        raw[[places[position] for position in piece.failed]] = scorer.lowest
        result = _sum(result, piece)
    return scorer.scores(raw), replace(result, outputs=raw)


def check_ranking(query: str, documents: Sequence[str]) -> None:
    """Raise EmptyInput for an empty query or no document, TooManyInputs, InputTooLong."""
    count = len(documents)
    if not count:
        raise EmptyInput("there is no text", next_step="Send at least one document.")
    if not query:
        raise EmptyInput("the query is empty", next_step="Send at least one character.")
    if count > MAX_DOCUMENTS:
        raise TooManyInputs(
            f"a request to rank holds at most {MAX_DOCUMENTS} documents",
            value=count,
            next_step="Split them over several requests: no score depends on the other documents.",
        )
    characters = count * len(query) + sum(map(len, documents))
    if characters > MAX_CHARACTERS:
        raise InputTooLong(
            f"a request to rank holds at most {MAX_CHARACTERS} characters, its query counted per document",
            value=characters,
            next_step="Split the documents over several requests: no score depends on the other documents.",
        )


def _check_encoder(manifest: Manifest, task: RankingTask) -> None:
    config = task.options.config
    if config.dim is not None:
        raise BodyInvalid(
            "scores have no dims to choose from",
            value=config.dim,
            next_step="Omit dim= from the address.",
        )
    check_fingerprint(manifest, config.fingerprint)
    choose_prompt(manifest, task.prompt, config)  # also where the encoder puts none before its texts


def _pieces(task: RankingTask) -> Iterator[list[int]]:
    """The places of the documents that are not blank, a piece at a time."""
    piece: list[int] = []
    characters = 0
    for place, document in enumerate(task.documents):
        if _is_blank(document):
            continue
        length = len(task.query) + len(document)
        if piece and (len(piece) == _PIECE_DOCUMENTS or characters + length > _PIECE_CHARACTERS):
            yield piece
            piece, characters = [], 0
        piece.append(place)
        characters += length
    if piece:
        yield piece


def _is_blank(document: str) -> bool:
    """Whether a document has nothing to read: tokenizers drop what is not visible, and an encoder may score
    what is left of the pair higher than any text."""
    return _VISIBLE.search(document) is None


def _sum(first: EmbeddingResult, second: EmbeddingResult) -> EmbeddingResult:
    """What two pieces took; errors keep no position."""
    failed = [*first.failed.values(), *second.failed.values()]
    timing = Timing(
        first.timing.queued + second.timing.queued, first.timing.inference + second.timing.inference
    )
    return replace(
        first,
        tokens=first.tokens + second.tokens,
        truncated=first.truncated + second.truncated,
        failed=dict(enumerate(failed)),
        timing=timing,
        fingerprint=first.fingerprint or second.fingerprint,
    )
