"""Fit the map between two encoders on a collection's own texts, and choose it by held-out queries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from nestvec_exporters.bridge.learn import QUERIES_PER_STEP, LearningOptions, OnStep, learn_map
from nestvec_exporters.bridge.token_learning import TokenTexts, learn_token_table
from nestvec_exporters.bridge.token_table import sum_tokens
from nestvec_exporters.nesting.neighbours import nearest_rows, relevant_gains
from nestvec_exporters.space_maps.closed_form import RIDGE_WEIGHTS, procrustes, query_start, ridge
from nestvec_exporters.space_maps.mapping import (
    BridgeMap,
    BridgeMaps,
    PairedVectors,
    Rows,
    TokenTable,
    between,
    join,
    linear,
)
from nestvec_schemas.errors import SampleUnusable
from nestvec_schemas.vectors import Vectors, cosines

MIN_DOCUMENTS: Final = 256
"""The documents that any fit needs."""

_MIN_STEPS: Final = 300

_PASSES: Final = 4
"""How often a learned map sees each text by default, if that takes more than _MIN_STEPS."""

_HELD_OUT_SHARE = 0.1
_MAX_HELD_OUT = 400
_HELD_OUT_LOG_SHARE = 0.25
_HIDDEN = 256
_MIN_PREFIX = 32

_QUERY_NEARNESS: Final = 0.5
_QUERY_OLD_SHARE: Final = 0.25
"""A map of queries alone may leave the old vectors, and rank more as the new encoder does, than one that also
writes documents."""

_NOTHING_TO_LEARN: Final = 0.9999
"""The mean cosine of rotated and old vectors from which no map is learned beside those in closed form."""

_LEARNED_SHARES: Final = (0.5, 0.75)
"""How far from ridge regression to the map that was learned from it the learned one may be, if not there."""

_STOP_MARGIN: Final = 0.0075
"""What held-out queries must find more by a map on the way than by the one at its end: with less of a gain,
real queries found less by it."""

_MARGIN: Final = 0.003
"""A simpler map is chosen if the best one retrieves no more than this share more."""


@dataclass(frozen=True)
class BridgeQueries:
    """Queries by both encoders."""

    vectors: PairedVectors

    rows: Rows
    """The document that each was taken from, (m,); -1 for a real query."""


@dataclass(frozen=True)
class BridgeOptions:
    """How a bridge is fitted."""

    dims: tuple[int, ...]
    """The old encoder's ladder of prefixes, longest first."""

    steps: int | None = None
    """Optimizer steps of a learned map; by default as many as its texts need."""

    seed: int = 0


@dataclass(frozen=True)
class BridgeFit:
    """The chosen map, and what it retrieves of what the old encoder retrieves by itself."""

    maps: BridgeMaps

    method: str
    """Its name among ``compared``."""

    compared: dict[str, float]
    """By candidate: the mean over dims, and over a gallery of old vectors and one of which half is mapped."""

    quality: dict[int, float]
    """Per dim, in a gallery of old vectors."""

    mixed_quality: dict[int, float]
    """Per dim, in a gallery of which half is mapped."""

    unstated_quality: dict[int, float]
    """``quality`` of queries by the map of documents; empty if they have no other."""

    held_out: int
    """Number of queries that were measured with."""


def fit_bridge(
    documents: PairedVectors,
    queries: BridgeQueries,
    options: BridgeOptions,
    on_step: OnStep = lambda done, total: None,
    tokens: TokenTexts | None = None,
) -> BridgeFit:
    """The map from the new encoder's space into the old one's, fitted without labels.

    Candidates are no map at all, for versions that were trained to be compatible, an orthogonal map, ridge
    regression, and, unless the spaces differ by a rotation alone, a map with a residual that learns both
    encoders' rankings (``learn_map``), starting from ridge regression, alone and with maps of queries beside
    it that learn more of the new encoder's. The residual's map is the best of several on the way from ridge
    regression. Where the texts have sums of tokens, one more map by ridge regression reads them, and the
    learned ones do if it is better. With ``tokens``, whose sums they are, those of a table that is learned
    (``learn_token_table``) replace them where ridge regression is better by these. None sees the held-out
    documents, queries that were taken from them, or a quarter of the real ones. To a held-out query the
    document is relevant that it was taken from; to a real one, the new encoder's nearest. Raises
    SampleUnusable if there is too little.
    """
    if len(documents) < MIN_DOCUMENTS:
        raise SampleUnusable(
            "the sample has too few distinct texts to fit a bridge",
            value=f"{len(documents)} texts",
            next_step=f"Give at least {MIN_DOCUMENTS}; a few thousand are best.",
        )
    held_out = _held_out(len(documents), queries.rows, options.seed)
    if not held_out.queries.any():
        raise SampleUnusable(
            "no query could be taken from the sample's texts to measure a bridge with",
            value=f"{len(documents)} texts",
            next_step="Give texts of several words or sentences, or real queries with --queries.",
        )
    judge, training = _parts(documents, queries, held_out, options)
    table = None if tokens is None else tokens.table
    if tokens is not None and _agreement(procrustes(training.texts), training.texts) < _NOTHING_TO_LEARN:
        learned = _learned_tokens(documents, queries, tokens, held_out, training)
        parts = _parts(learned.documents, learned.queries, held_out, options)
        if _token_score(*parts) > _token_score(judge, training):
            (judge, training), table = parts, learned.table
    candidates = _candidates(training, judge, options, on_step)
    scores = {name: judge.score(maps) for name, maps in candidates.items()}
    best = max(scores.values())
    method = next(name for name, score in scores.items() if score >= best - _MARGIN)
    maps = candidates[method]
    if maps.width > documents.new.shape[1]:
        maps = replace(maps, tokens=table)
    unstated: dict[int, float] = {}
    if maps.own_queries is not None:
        unstated = judge.quality(BridgeMaps(maps.documents), mixed=False)
    compared = {name: round(score, 4) for name, score in scores.items()}
    return BridgeFit(
        maps,
        method,
        compared,
        quality=judge.quality(maps, mixed=False),
        mixed_quality=judge.quality(maps, mixed=True),
        unstated_quality=unstated,
        held_out=len(judge.relevant),
    )


_LINEAR_QUERIES: Final = "learned, queries apart and linear"
_LEARNED_QUERIES: Final = "learned, queries apart"

_WITH_TOKENS: Final = ", with tokens"
"""The end of the name of a map that reads the sum of a text's tokens too."""


@dataclass(frozen=True)
class _Training:
    documents: PairedVectors
    queries: PairedVectors
    sources: Rows

    @property
    def texts(self) -> PairedVectors:
        """All of them."""
        return join([self.documents, self.queries])


def _parts(
    documents: PairedVectors, queries: BridgeQueries, held_out: _HeldOut, options: BridgeOptions
) -> tuple[_Judge, _Training]:
    learned = ~held_out.documents
    training = _Training(
        documents.at(np.flatnonzero(learned)),
        queries.vectors.at(np.flatnonzero(~held_out.queries)),
        _positions(queries.rows[~held_out.queries], learned),
    )
    return _judge(documents, queries, held_out, options), training


@dataclass(frozen=True)
class _LearnedTokens:
    documents: PairedVectors
    queries: BridgeQueries
    table: TokenTable


def _learned_tokens(
    documents: PairedVectors,
    queries: BridgeQueries,
    tokens: TokenTexts,
    held_out: _HeldOut,
    training: _Training,
) -> _LearnedTokens:
    """The texts with the sums of a table that is learned from those that are not held out."""
    rows = tokens.at(np.flatnonzero(~held_out.documents), np.flatnonzero(~held_out.queries))
    table = learn_token_table(tokens.table, rows, training.texts, RIDGE_WEIGHTS[1])
    return _LearnedTokens(
        replace(documents, tokens=sum_tokens(table, tokens.documents)),
        replace(queries, vectors=replace(queries.vectors, tokens=sum_tokens(table, tokens.queries))),
        table,
    )


def _token_score(judge: _Judge, training: _Training) -> float:
    """What is retrieved by ridge regression that reads tokens."""
    return judge.score(BridgeMaps(ridge(training.texts, RIDGE_WEIGHTS[1])))


def _candidates(
    training: _Training, judge: _Judge, options: BridgeOptions, on_step: OnStep
) -> Mapping[str, BridgeMaps]:
    """Maps by name, the simplest first."""
    texts = training.texts
    width, dim = texts.new.shape[1], texts.old.shape[1]
    candidates = {"identity": linear(np.eye(dim))} if width == dim else {}
    candidates["orthogonal"] = procrustes(texts)
    own = replace(texts, tokens=None)
    candidates |= {f"ridge {weight:g}": ridge(own, weight) for weight in RIDGE_WEIGHTS}
    start = candidates[f"ridge {RIDGE_WEIGHTS[1]:g}"]
    is_rotation = _agreement(candidates["orthogonal"], texts) >= _NOTHING_TO_LEARN
    suffix = ""
    if texts.tokens is not None and not is_rotation:
        with_tokens = ridge(texts, RIDGE_WEIGHTS[1])
        candidates[f"ridge {RIDGE_WEIGHTS[1]:g}{_WITH_TOKENS}"] = with_tokens
        if judge.score(BridgeMaps(with_tokens)) > judge.score(BridgeMaps(start)):
            start, suffix = with_tokens, _WITH_TOKENS
    maps = {name: BridgeMaps(mapping) for name, mapping in candidates.items()}
    if is_rotation:
        return maps
    learned, query_maps = _learned(training, start, judge, options, on_step)
    apart = {f"{name}{suffix}": BridgeMaps(learned, queries) for name, queries in query_maps.items()}
    return {**maps, f"learned{suffix}": BridgeMaps(learned), **apart}


def _learned(
    training: _Training, start: BridgeMap, judge: _Judge, options: BridgeOptions, on_step: OnStep
) -> tuple[BridgeMap, dict[str, BridgeMap]]:
    """A map of all texts, and maps of queries alone beside it by name: a linear one, and one with a residual,
    which retrieves more of what it was fitted on, and mostly less of other documents."""
    texts = len(training.documents) + len(training.queries)
    prefixes = tuple(dim for dim in options.dims if dim >= _MIN_PREFIX) or options.dims[:1]
    steps = _steps(texts, options)
    of_all = LearningOptions(prefixes, steps, hidden=_HIDDEN, seed=options.seed)
    total = 2 * steps + math.ceil(steps / 2)

    def learn(start: BridgeMap, options: LearningOptions, done_before: int) -> BridgeMap:
        return learn_map(
            training.documents,
            training.queries,
            training.sources,
            start,
            options,
            lambda done, _: on_step(done_before + done, total),
        )

    end = learn(start, of_all, 0)
    learned, best = end, judge.score(BridgeMaps(end)) + _STOP_MARGIN
    for share in _LEARNED_SHARES:
        mapping = between(start, end, share)
        score = judge.score(BridgeMaps(mapping))
        if score > best:
            learned, best = mapping, score
    of_queries = replace(of_all, nearness=_QUERY_NEARNESS, old_share=_QUERY_OLD_SHARE, document_map=learned)
    nearest = query_start(training.documents, start, RIDGE_WEIGHTS[1])
    return learned, {
        _LINEAR_QUERIES: learn(nearest, replace(of_queries, hidden=0), steps),
        _LEARNED_QUERIES: learn(learned, replace(of_queries, steps=math.ceil(steps / 2)), 2 * steps),
    }


def _steps(texts: int, options: BridgeOptions) -> int:
    if options.steps is not None:
        return options.steps
    return max(_MIN_STEPS, math.ceil(_PASSES * texts / QUERIES_PER_STEP))


def _agreement(mapping: BridgeMap, texts: PairedVectors) -> float:
    """The mean cosine of mapped and old vectors."""
    return float(cosines(mapping(texts.inputs), texts.old).mean())


@dataclass(frozen=True)
class _HeldOut:
    """Masks of what no candidate sees."""

    documents: np.ndarray[tuple[int], np.dtype[np.bool_]]
    queries: np.ndarray[tuple[int], np.dtype[np.bool_]]


def _held_out(documents: int, rows: Rows, seed: int) -> _HeldOut:
    random = np.random.default_rng(seed)
    mask = np.zeros(documents, bool)
    count = min(_MAX_HELD_OUT, max(1, round(documents * _HELD_OUT_SHARE)))
    mask[random.permutation(documents)[:count]] = True
    real = rows < 0
    queries = np.where(real, random.random(len(rows)) < _HELD_OUT_LOG_SHARE, mask[rows])
    return _HeldOut(mask, queries)


def _positions(rows: Rows, learned: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Rows:
    """The rows of documents among those that are learned from; -1 for a real query."""
    position = np.cumsum(learned) - 1
    return np.where(rows < 0, -1, position[rows]).astype(np.intp)


@dataclass(frozen=True)
class _Judge:
    """Measures maps by held-out queries."""

    documents: PairedVectors
    queries: PairedVectors
    relevant: Rows
    is_mapped: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """The documents that are mapped in the mixed gallery."""

    dims: Sequence[int]
    own: Mapping[int, float]
    """What the old encoder retrieves by itself, per dim."""

    def quality(self, maps: BridgeMaps, *, mixed: bool) -> dict[int, float]:
        """Per dim, what is retrieved through the maps, as a share of ``own``."""
        gallery: Vectors = self.documents.old
        if mixed:
            gallery = np.where(self.is_mapped[:, None], maps.documents(self.documents.inputs), gallery)
        gains = self.gains(maps.queries(self.queries.inputs), gallery)
        return {dim: round(gain / max(self.own[dim], 1e-9), 4) for dim, gain in gains.items()}

    def score(self, maps: BridgeMaps) -> float:
        """The mean of both galleries and all dims."""
        shares = [*self.quality(maps, mixed=False).values(), *self.quality(maps, mixed=True).values()]
        return float(np.mean(shares))

    def gains(self, queries: Vectors, gallery: Vectors) -> dict[int, float]:
        """The mean nDCG@10 per dim of the queries in a gallery."""
        nothing = np.full(len(self.relevant), -1)
        return relevant_gains(queries, gallery, nothing, self.relevant, self.dims)


def _judge(
    documents: PairedVectors, queries: BridgeQueries, held_out: _HeldOut, options: BridgeOptions
) -> _Judge:
    measured = np.flatnonzero(held_out.queries)
    vectors, rows = queries.vectors.at(measured), queries.rows[measured]
    real = rows < 0
    if real.any():
        # A log decides alone, as it is what the collection receives.
        vectors = vectors.at(np.flatnonzero(real))
        rows = nearest_rows(vectors.new, np.full(len(vectors), -1), documents.new)
    dims = [dim for dim in options.dims if dim >= _MIN_PREFIX] or list(options.dims)
    is_mapped = np.random.default_rng(options.seed + 1).random(len(documents)) < 0.5
    nothing = np.full(len(rows), -1)
    own = relevant_gains(vectors.old, documents.old, nothing, rows, dims)
    return _Judge(documents, vectors, rows, is_mapped, dims=dims, own=own)
