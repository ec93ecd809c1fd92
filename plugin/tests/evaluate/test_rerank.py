"""Rankings reranked by a fake cross-encoder and a fake late interaction, and what is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec.datasets.beir import Dataset
from nestvec.engines.contract import Batch
from nestvec.evaluate.evaluation import Evaluation, exact_index
from nestvec.evaluate.measure_dense import measure_dense
from nestvec.evaluate.metrics.ranking import per_query_metrics
from nestvec.evaluate.outcomes import EvaluateOptions, FullLengthRanking, Rescoring
from nestvec.evaluate.report.page import render_page
from nestvec.evaluate.report.recommendation import recommend, standalone_rows
from nestvec.evaluate.rerank import RerankerVariant, check_is_text, rerank
from nestvec.evaluate.rows import make_rows
from nestvec.evaluate.variants import choose_reranker
from nestvec.service.encoders import open_encoder
from nestvec_schemas.errors import EncoderNotFound, EngineError

DEPTH = 7


@contextmanager
def silent(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda done: None


def overlap(batch: Batch) -> Any:
    """A cross-encoder that counts the words of the document that the query, which has two, has too."""
    pairs = batch.arrays["input_ids"].tolist()
    return np.array([[sum(one in ids[:2] for one in ids[2:])] for ids in pairs], np.float32)


def words(batch: Batch) -> Any:
    """A vector a token: the word itself, over 16 dims; nothing for padding and special tokens."""
    ids = batch.arrays["input_ids"]
    vectors = np.zeros((*ids.shape, 16), np.float32)
    for row, column in zip(*np.nonzero(ids > 3), strict=True):
        vectors[row, column, ids[row, column] % 16] = 1
    return vectors


@pytest.fixture
def folders(write_encoder: Callable[..., Path]) -> Path:
    write_encoder("late", kind="multivector", dims=(16,), layers=(1,), prompts={})
    return write_encoder("cross", kind="reranker", dim=1, dims=(1,), layers=(1,), prompts={}).parent


def reranker(folders: Path, name: str, run: Any) -> RerankerVariant:
    subject = choose_reranker(folders, name)
    return RerankerVariant(subject, open_encoder(subject.folder), run)


@pytest.fixture
def whole(dataset: Dataset, fake: Any) -> FullLengthRanking:
    """The ranking of the fake dense encoder, told to look at the first few."""
    found = measure_dense(
        dataset,
        fake.subject,
        fake.source,
        exact_index,
        EvaluateOptions((), rerank_depth=DEPTH),
        lambda done: None,
    ).full_length
    assert found is not None
    return found


def shared(query: str, document: str) -> int:
    mine = query.split()
    return sum(one in mine for one in document.split())


def test_the_first_are_in_the_order_of_their_scores_and_the_others_follow(
    dataset: Dataset, folders: Path, whole: FullLengthRanking, tmp_path: Path
) -> None:
    outcome = rerank(dataset, reranker(folders, "cross", overlap), whole, DEPTH, tmp_path, silent)
    texts = list(dataset.read_corpus())
    expected = whole.ranking.copy()
    for row, query in enumerate(dataset.queries.inputs):
        first = whole.ranking[row, :DEPTH]
        scores = [shared(query, texts[at]) for at in first]
        expected[row, :DEPTH] = first[np.argsort(-np.array(scores), kind="stable")]
    assert (expected != whole.ranking).any()
    for name, scores in per_query_metrics(dataset, expected).items():
        np.testing.assert_array_equal(outcome.scores[name], scores)
    # Nothing is lost beyond the depth.
    np.testing.assert_array_equal(outcome.scores["recall@100"], whole.outcome.scores["recall@100"])
    setting = outcome.setting
    assert (setting.form, setting.encoder) == ("reranked", "tiny")
    assert setting.rescoring == Rescoring(DEPTH, dim=None, reranker="cross")
    assert outcome.unrescored is whole.outcome.scores["ndcg@10"]
    assert outcome.ms_per_query > whole.outcome.ms_per_query


def test_late_interaction_scores_too_and_scores_are_kept(
    dataset: Dataset, folders: Path, whole: FullLengthRanking, tmp_path: Path
) -> None:
    first = rerank(dataset, reranker(folders, "late", words), whole, DEPTH, tmp_path, silent)
    assert first.scores["ndcg@10"].mean() > whole.outcome.scores["ndcg@10"].mean() - 0.2

    def absent(batch: Batch) -> Any:
        raise AssertionError("the encoder is not needed")

    again = rerank(dataset, reranker(folders, "late", absent), whole, DEPTH, tmp_path, silent)
    np.testing.assert_array_equal(first.scores["ndcg@10"], again.scores["ndcg@10"])
    assert again.ms_per_query == pytest.approx(first.ms_per_query)
    with pytest.raises(AssertionError, match="not needed"):
        rerank(dataset, reranker(folders, "late", absent), whole, DEPTH - 1, tmp_path, silent)


def test_an_answer_of_another_shape_is_an_error(
    dataset: Dataset, folders: Path, whole: FullLengthRanking, tmp_path: Path
) -> None:
    broken = reranker(folders, "cross", lambda batch: np.zeros((len(batch), 2), np.float32))
    with pytest.raises(EngineError, match="wrong shape"):
        rerank(dataset, broken, whole, DEPTH, tmp_path, silent)


def test_images_are_not_reranked(dataset: Dataset) -> None:
    images = replace(dataset, towers={"query": "text", "document": "image"})
    with pytest.raises(EncoderNotFound, match=r"small has images, and cross scores texts only"):
        check_is_text(images, "cross")


def test_a_reranked_row_is_no_size_to_choose_and_stands_in_the_page(
    dataset: Dataset, fake: Any, folders: Path, whole: FullLengthRanking, tmp_path: Path
) -> None:
    found = measure_dense(
        dataset, fake.subject, fake.source, exact_index, EvaluateOptions(("float",)), lambda done: None
    )
    more = rerank(dataset, reranker(folders, "cross", overlap), whole, DEPTH, tmp_path, silent)
    rows = make_rows({"small": (dataset, [*found.outcomes, more])}, seed=0, through="exact")
    last = rows[-1]
    assert (last["form"], last["reranker"]) == ("reranked", "cross")
    assert last["ndcg@10_unrescored"] == pytest.approx(whole.outcome.scores["ndcg@10"].mean())
    assert last not in standalone_rows(rows)
    chosen = recommend(rows)
    assert chosen is None or chosen.stored["reranker"] is None
    written = render_page(Evaluation(rows))
    assert "tiny, first 7 by cross" in written
    assert "<td>reranked</td><td>cross</td>" in written
