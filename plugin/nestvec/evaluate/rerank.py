"""The first documents of a ranking reranked by a cross-encoder or by late interaction."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nestvec.datasets.beir import Dataset
from nestvec.evaluate.metrics.ranking import per_query_metrics
from nestvec.evaluate.outcomes import FullLengthRanking, Outcome, Rescoring
from nestvec.evaluate.search.exact import Ranking
from nestvec.evaluate.variants import EncoderVariant
from nestvec.evaluate.vectors.encode import RunBatch, answer_window
from nestvec.evaluate.vectors.sources import Progress
from nestvec.evaluate.vectors.window_cache import WindowResult, cache_digest, cached_windows
from nestvec.images import ImagePolicy
from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.inputs import EmbedInput, ModelInput, QueryDocument
from nestvec.service.preprocess.prepare import prepare_inputs
from nestvec.service.preprocess.truncation import Truncation
from nestvec.service.scoring import score_late_interaction, score_logits
from nestvec_schemas.errors import EncoderNotFound, NestvecError
from nestvec_schemas.late_interaction import Role
from nestvec_schemas.preprocessing.collate import Array

_WINDOW_QUERIES = 8
"""Queries whose scores are cached together."""

_CACHE_FORMAT = 1


@dataclass(frozen=True)
class RerankerVariant:
    """An encoder that scores queries with documents, ready to run."""

    variant: EncoderVariant
    encoder: LoadedEncoder
    run: RunBatch

    @property
    def name(self) -> str:
        return self.variant.manifest.name


def check_is_text(dataset: Dataset, reranker: str) -> None:
    """Raise EncoderNotFound for a dataset of images, which no reranker scores."""
    if dataset.direction is not None:
        raise EncoderNotFound(
            f"{dataset.name} has images, and {reranker} scores texts only",
            value=dataset.direction,
            next_step="Omit --rerank, or measure it on a dataset of texts.",
        )


def rerank(
    dataset: Dataset,
    reranker: RerankerVariant,
    full_length: FullLengthRanking,
    depth: int,
    cache: Path,
    progress: Progress,
) -> Outcome:
    """The outcome of the ranking with its first ``depth`` documents reranked; the others follow in their
    order.

    Raises EngineError, DatasetUnusable.
    """
    first = full_length.ranking[:, :depth]
    texts = _texts(dataset, first)
    folder = cache / _key(dataset, reranker, first)
    pairs = list(zip(dataset.queries.inputs, first, strict=True))
    with progress(f"Reranking {dataset.name} by {reranker.name}", int((first >= 0).sum())) as advance:

        def score_window(window: Sequence[tuple[str, NDArray[np.int64]]]) -> WindowResult:
            return _scores(reranker, window, texts, advance)

        def resumed(queries: int) -> None:
            advance(queries * depth)

        results = cached_windows(folder, pairs, _WINDOW_QUERIES, score_window, resumed)
    scores = np.concatenate([arrays["scores"] for arrays, _ in results])
    seconds = sum(took for _, took in results) / len(pairs)
    return _outcome(dataset, reranker, full_length, depth, _reorder(full_length.ranking, scores), seconds)


def _outcome(
    dataset: Dataset,
    reranker: RerankerVariant,
    full_length: FullLengthRanking,
    depth: int,
    ranking: Ranking,
    seconds: float,
) -> Outcome:
    setting = replace(
        full_length.outcome.setting,
        form="reranked",
        rescoring=Rescoring(depth, reranker=reranker.name),
    )
    return Outcome(
        setting,
        per_query_metrics(dataset, ranking),
        full_length.outcome.scores["ndcg@10"],
        full_length.outcome.ms_per_text,
        full_length.outcome.ms_per_query + seconds * 1000,
    )


def _reorder(ranking: Ranking, scores: NDArray[np.float64]) -> Ranking:
    """Each row with its first documents sorted by their scores (a stable sort); the others follow."""
    depth = scores.shape[1]
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.concatenate([np.take_along_axis(ranking[:, :depth], order, 1), ranking[:, depth:]], axis=1)


def _texts(dataset: Dataset, ranking: Ranking) -> dict[int, str]:
    """The texts of these documents, by number. Reads the corpus again."""
    needed = set(ranking[ranking >= 0].tolist())
    return {number: text for number, text in enumerate(dataset.read_corpus()) if number in needed}


def _scores(
    reranker: RerankerVariant,
    window: Sequence[tuple[str, NDArray[np.int64]]],
    texts: Mapping[int, str],
    advance: Callable[[int], None],
) -> WindowResult:
    """``scores``, (q, depth) float64, of each query's documents; -inf where there is no document."""
    scores = np.full((len(window), len(window[0][1])), -np.inf)
    candidates = [[int(number) for number in numbers if number >= 0] for _, numbers in window]
    queries = [query for query, _ in window]
    score = (
        _cross_encoder_scores if reranker.variant.manifest.kind == "reranker" else _late_interaction_scores
    )
    by_query, seconds = score(
        reranker, queries, [[texts[number_] for number_ in ranked] for ranked in candidates], advance
    )
    for row, row_scores in enumerate(by_query):
        scores[row, : len(row_scores)] = row_scores
    return {"scores": scores}, seconds


QueryScores = tuple[list[NDArray[np.float64]], float]
"""The scores of each query's documents, and the encoder's seconds in total."""


def _cross_encoder_scores(
    reranker: RerankerVariant,
    queries: Sequence[str],
    documents: Sequence[Sequence[str]],
    advance: Callable[[int], None],
) -> QueryScores:
    pairs = [
        QueryDocument(query, document)
        for query, candidates in zip(queries, documents, strict=True)
        for document in candidates
    ]
    answers, seconds = _answers(reranker, pairs, advance)
    logits = score_logits(np.array([document[0] for document in answers], np.float32)).raw
    ends = np.cumsum([len(candidates) for candidates in documents])[:-1]
    return np.split(logits, ends), seconds


def _late_interaction_scores(
    reranker: RerankerVariant,
    queries: Sequence[str],
    documents: Sequence[Sequence[str]],
    advance: Callable[[int], None],
) -> QueryScores:
    """Each document is encoded once, for all the queries that it is scored with."""
    prompts = {side: reranker.variant.manifest.prompt(side) for side in ("query", "document")}
    unique = list(dict.fromkeys(text for candidates in documents for text in candidates))
    query_vectors, spent = _answers(
        reranker, [prompts["query"] + text for text in queries], lambda done: None, "query"
    )
    document_vectors, seconds = _answers(
        reranker, [prompts["document"] + text for text in unique], lambda done: None, "document"
    )
    vectors = dict(zip(unique, document_vectors, strict=True))
    advance(sum(map(len, documents)))
    scores = [
        score_late_interaction(query, [vectors[text] for text in candidates]).raw
        for query, candidates in zip(query_vectors, documents, strict=True)
    ]
    return scores, spent + seconds


def _answers(
    reranker: RerankerVariant,
    inputs: Sequence[EmbedInput],
    advance: Callable[[int], None],
    role: Role | None = None,
) -> tuple[list[Array], float]:
    if not inputs:
        return [], 0.0
    rows: list[ModelInput] = []
    # The image policy has no effect: there are only texts.
    for prepared in asyncio.run(
        prepare_inputs(reranker.encoder, "text", inputs, Truncation(), ImagePolicy(), role=role)
    ):
        if isinstance(prepared, NestvecError):
            raise prepared
        rows.append(prepared)
    manifest = reranker.variant.manifest
    return answer_window(rows, reranker.run, manifest, manifest.part("text"), advance)


def _key(dataset: Dataset, reranker: RerankerVariant, first: Ranking) -> str:
    """The name of the cache folder, unique to these scores."""
    manifest = reranker.variant.manifest
    parts = {
        "format": _CACHE_FORMAT,
        "window": _WINDOW_QUERIES,
        "files": dict(sorted(manifest.files.items())),
        "tower": manifest.towers["text"].model_dump(mode="json"),
        "prompts": dict(sorted(manifest.prompts.items())),
        "inputs": dict(sorted(dataset.digests.items())),
        "first": hashlib.sha256(np.ascontiguousarray(first).tobytes()).hexdigest(),
        "depth": first.shape[1],
    }
    return f"{manifest.name}-rerank-{cache_digest(parts)}"
