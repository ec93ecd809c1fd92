"""The first documents of a ranking scored again, by a cross-encoder or by late interaction."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nestvec.evaluate.dataset import Dataset
from nestvec.evaluate.encode import Run, answer_window
from nestvec.evaluate.measures import per_query
from nestvec.evaluate.measuring import Outcome, Whole
from nestvec.evaluate.search import Found
from nestvec.evaluate.sources import Progress
from nestvec.evaluate.subject import Subject
from nestvec.evaluate.windows import Made, digest, kept_windows
from nestvec.images import Policy
from nestvec.service.encoders import Encoder
from nestvec.service.inputs import Cut, Input, Pair
from nestvec.service.preparing import prepare
from nestvec.service.rows import Row
from nestvec.service.scoring import interacted, scored
from nestvec_schemas.errors import EncoderNotFound, NestvecError
from nestvec_schemas.rows import Array

_WINDOW = 8
"""Queries whose scores are done or not done."""

_FORMAT = 1
"""Of what is kept in the cache."""


@dataclass(frozen=True)
class Reranker:
    """An encoder that scores a document with a query, ready to run."""

    subject: Subject
    encoder: Encoder
    run: Run

    @property
    def name(self) -> str:
        return self.subject.manifest.name


def check_texts(dataset: Dataset, reranker: str) -> None:
    """Raise EncoderNotFound where a dataset has pictures: nothing scores one with a text."""
    if dataset.direction is not None:
        raise EncoderNotFound(
            f"{dataset.name} has pictures, and {reranker} scores texts with texts",
            value=dataset.direction,
            next_step="Leave --rerank away, or measure it on a dataset of texts.",
        )


def rerank(
    dataset: Dataset, reranker: Reranker, whole: Whole, depth: int, cache: Path, progress: Progress
) -> Outcome:
    """The outcome of a ranking whose first ``depth`` documents are scored again; the others follow as they
    were. Raises EngineError, DatasetUnusable."""
    first = whole.found[:, :depth]
    texts = _texts(dataset, first)
    folder = cache / _key(dataset, reranker, first)
    pairs = list(zip(dataset.queries, first, strict=True))
    with progress(f"Reranking {dataset.name} by {reranker.name}", int((first >= 0).sum())) as advance:

        def make(window: Sequence[tuple[str, NDArray[np.int64]]]) -> Made:
            return _scores(reranker, window, texts, advance)

        def resumed(queries: int) -> None:
            advance(queries * depth)

        made = kept_windows(folder, pairs, _WINDOW, make, resumed)
    scores = np.concatenate([arrays["scores"] for arrays, _ in made])
    seconds = sum(took for _, took in made) / len(pairs)
    return _outcome(dataset, reranker, whole, depth, _ordered(whole.found, scores), seconds)


def _outcome(
    dataset: Dataset, reranker: Reranker, whole: Whole, depth: int, found: Found, seconds: float
) -> Outcome:
    setting = replace(
        whole.outcome.setting, form="reranked", candidates=depth, reranker=reranker.name, rescore_dim=None
    )
    return Outcome(
        setting,
        per_query(dataset, found),
        whole.outcome.scores["ndcg@10"],
        whole.outcome.ms_per_text,
        whole.outcome.ms_per_query + seconds * 1000,
    )


def _ordered(found: Found, scores: NDArray[np.float64]) -> Found:
    """The first of each row by their scores, of equal ones the earlier before the later; then the others."""
    depth = scores.shape[1]
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.concatenate([np.take_along_axis(found[:, :depth], order, 1), found[:, depth:]], axis=1)


def _texts(dataset: Dataset, found: Found) -> dict[int, str]:
    """The texts of these documents, by number: the corpus is read once more, and not kept."""
    wanted = set(found[found >= 0].tolist())
    return {number: text for number, text in enumerate(dataset.corpus()) if number in wanted}


def _scores(
    reranker: Reranker,
    window: Sequence[tuple[str, NDArray[np.int64]]],
    texts: Mapping[int, str],
    advance: Callable[[int], None],
) -> Made:
    """``scores``, (q, depth) float64, of each query's documents; -inf where there is none."""
    scores = np.full((len(window), len(window[0][1])), -np.inf)
    there = [[int(number) for number in numbers if number >= 0] for _, numbers in window]
    asked = [query for query, _ in window]
    how = _paired if reranker.subject.manifest.kind == "reranker" else _interacting
    found, seconds = how(reranker, asked, [[texts[one] for one in some] for some in there], advance)
    for row, mine in enumerate(found):
        scores[row, : len(mine)] = mine
    return {"scores": scores}, seconds


Scored = tuple[list[NDArray[np.float64]], float]
"""The scores of each query's documents, and the encoder's seconds for all."""


def _paired(
    reranker: Reranker,
    queries: Sequence[str],
    documents: Sequence[Sequence[str]],
    advance: Callable[[int], None],
) -> Scored:
    pairs = [Pair(query, one) for query, some in zip(queries, documents, strict=True) for one in some]
    answers, seconds = _answers(reranker, pairs, advance)
    logits = scored(np.array([one[0] for one in answers], np.float32)).raw
    ends = np.cumsum([len(some) for some in documents])[:-1]
    return np.split(logits, ends), seconds


def _interacting(
    reranker: Reranker,
    queries: Sequence[str],
    documents: Sequence[Sequence[str]],
    advance: Callable[[int], None],
) -> Scored:
    """Each document is read once for all the queries that it is scored with."""
    before = {side: reranker.subject.manifest.prompt(side) for side in ("query", "document")}
    once = list(dict.fromkeys(one for some in documents for one in some))
    asked, spent = _answers(reranker, [before["query"] + one for one in queries], lambda done: None)
    read, seconds = _answers(reranker, [before["document"] + one for one in once], lambda done: None)
    vectors = dict(zip(once, read, strict=True))
    advance(sum(map(len, documents)))
    found = [
        interacted(query, [vectors[one] for one in some]).raw
        for query, some in zip(asked, documents, strict=True)
    ]
    return found, spent + seconds


def _answers(
    reranker: Reranker, inputs: Sequence[Input], advance: Callable[[int], None]
) -> tuple[list[Array], float]:
    if not inputs:
        return [], 0.0
    rows: list[Row] = []
    # No picture is fetched: there is none among texts.
    for one in asyncio.run(prepare(reranker.encoder, "text", inputs, Cut(), Policy())):
        if isinstance(one, NestvecError):
            raise one
        rows.append(one)
    manifest = reranker.subject.manifest
    return answer_window(rows, reranker.run, manifest, manifest.part("text"), advance)


def _key(dataset: Dataset, reranker: Reranker, first: Found) -> str:
    """The name of a folder for these scores alone."""
    manifest = reranker.subject.manifest
    parts = {
        "format": _FORMAT,
        "window": _WINDOW,
        "files": dict(sorted(manifest.files.items())),
        "tower": manifest.towers["text"].model_dump(mode="json"),
        "prompts": dict(sorted(manifest.prompts.items())),
        "inputs": dict(sorted(dataset.digests.items())),
        "first": hashlib.sha256(np.ascontiguousarray(first).tobytes()).hexdigest(),
        "depth": first.shape[1],
    }
    return f"{manifest.name}-rerank-{digest(parts)}"
