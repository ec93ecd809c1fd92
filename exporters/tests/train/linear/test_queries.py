from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from nestvec_exporters.train import TrainingData
from nestvec_exporters.train.linear import queries as module
from nestvec_exporters.train.linear.objective import held_out_ndcg
from nestvec_exporters.train.linear.queries import query_pairs
from nestvec_exporters.training_data import prepare_texts
from nestvec_schemas.vectors import normalise


@pytest.mark.parametrize("kind", ["texts", "pairs"])
def test_nothing_held_out_is_learned_from(unlabelled: TrainingData, pairs: TrainingData, kind: str) -> None:
    prepared = query_pairs(prepare_texts(unlabelled if kind == "texts" else pairs, seed=0), seed=0)
    assert not set(prepared.training[:, 1]) & set(prepared.held_out[:, 1])
    assert set(prepared.training_documents) == set(prepared.training[:, 1])
    assert set(prepared.documents) == set(prepared.training[:, 1]) | set(prepared.held_out[:, 1])
    used = set(prepared.training.ravel()) | set(prepared.held_out.ravel())
    assert used == set(range(len(prepared.texts)))


def test_queries_consist_of_words_of_their_documents(unlabelled: TrainingData) -> None:
    prepared = query_pairs(prepare_texts(unlabelled, seed=0), seed=0)
    for query, document in (*prepared.training, *prepared.held_out):
        assert prepared.texts[query].role == "query" and prepared.texts[document].role == "document"
        assert set(prepared.texts[query].text.lower().replace(".", "").split()) <= set(
            prepared.texts[document].text.lower().replace(".", "").split()
        )


def test_many_rows_are_sampled(unlabelled: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 40)
    prepared = query_pairs(prepare_texts(unlabelled, seed=0), seed=0)
    assert len(prepared.training_documents) == 40
    assert len(set(prepared.held_out[:, 1])) == 50


def test_the_figure_is_that_of_scikit_learn(pairs: TrainingData) -> None:
    prepared = query_pairs(prepare_texts(pairs, seed=0), seed=0)
    random = np.random.default_rng(0)
    vectors = normalise(random.normal(size=(len(prepared.texts), 16)).astype(np.float32))
    # Some queries near their documents, so that ranks differ.
    near = prepared.held_out[::2]
    vectors[near[:, 0]] = normalise(vectors[near[:, 1]] + 0.3 * vectors[near[:, 0]])
    figures = held_out_ndcg(prepared, vectors, (16, 4))
    for dim, figure in figures.items():
        short = normalise(vectors[:, :dim])
        scores = short[prepared.held_out[:, 0]] @ short[prepared.documents].T
        relevant = prepared.documents[None] == prepared.held_out[:, 1:]
        assert figure == pytest.approx(ndcg_score(relevant, scores, k=10), abs=1e-4)
    assert 0.2 < figures[16] < 0.9
