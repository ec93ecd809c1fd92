from __future__ import annotations

import numpy as np
import pytest

from nestvec_exporters.nesting.fit import (
    MIN_FIT_TEXTS,
    FitOptions,
    distinct_texts,
    fit_nesting,
    fit_ridge,
    split_by_document,
)
from nestvec_exporters.nesting.fit_texts import FitTexts
from nestvec_exporters.nesting.sampled_queries import SampledQuery
from nestvec_schemas.errors import SampleUnusable
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.vectors import Vectors, cosines, normalise

from .test_rotation import clustered

DIM = 32
ROWS = 600


@pytest.fixture(scope="module")
def vectors() -> dict[int, Vectors]:
    """A whole encoder, and an exit that is the same but turned, stretched and noisy."""
    draw = np.random.default_rng(3)
    whole = clustered(ROWS, DIM, share=0.9)
    bent = whole @ draw.normal(size=(DIM, DIM)) + 0.02 * draw.normal(size=whole.shape)
    return {4: whole, 2: normalise(np.asarray(bent, np.float32))}


def sample(texts: int) -> Sample:
    return Sample("papers.jsonl", tuple(f"text {number}" for number in range(texts)))


@pytest.mark.parametrize(
    ("texts", "dim", "least"), [(MIN_FIT_TEXTS - 1, 8, MIN_FIT_TEXTS), (383, 384, 384), (0, 8, MIN_FIT_TEXTS)]
)
def test_too_few_texts_say_how_many_are_needed(texts: int, dim: int, least: int) -> None:
    with pytest.raises(SampleUnusable, match=f"papers.jsonl has too few.*Give at least {least}"):
        distinct_texts(sample(texts), dim)


def test_one_text_repeated_is_one_text() -> None:
    with pytest.raises(SampleUnusable, match="1 distinct texts, of 5000"):
        distinct_texts(Sample("s", ("the same",) * 5000), 8)


def test_blank_texts_do_not_count_and_the_order_stays() -> None:
    texts = (" ", "", "\n", *sample(MIN_FIT_TEXTS).texts, "text 0")
    assert distinct_texts(Sample("s", texts), 8) == sample(MIN_FIT_TEXTS).texts


def test_texts_that_the_encoder_does_not_tell_apart_are_refused() -> None:
    same = np.tile(clustered(1, DIM), (ROWS, 1))
    with pytest.raises(SampleUnusable, match="1 distinct vectors of 600 texts"):
        fit_nesting({4: same}, FitTexts(sample(ROWS)), FitOptions("pca", (DIM,)))


def test_a_fit_tells_what_prefixes_and_exits_keep(vectors: dict[int, Vectors]) -> None:
    found = fit_nesting(vectors, with_queries(sentence=200), FitOptions("pca", (DIM, 16, 8)))
    assert found.record.model_dump() == {
        "method": "pca",
        "sample": "papers.jsonl",
        "drawn": 400,
        "texts": 540,
        "held_out": 60,
        "seed": 0,
        "plain": found.record.plain,
        "queries": None,
        "learned_from": "pca",
        "compared": {},
    }
    assert found.retention[DIM] == found.record.plain[DIM] == 1.0
    assert found.retention[8] > found.record.plain[8] + 0.1
    assert list(found.exits) == list(found.exit_maps) == [2]
    assert 0.9 < found.exits[2].cosine < 1
    assert found.exits[2].retention[DIM] > 0.5
    assert found.rotation is not None
    mapped = vectors[2] @ found.exit_maps[2]
    assert cosines(mapped, vectors[4] @ found.rotation).mean() > 0.95


def test_exits_can_be_mapped_without_a_rotation(vectors: dict[int, Vectors]) -> None:
    found = fit_nesting(vectors, FitTexts(sample(ROWS)), FitOptions(None, (DIM, 8)))
    assert found.rotation is None
    assert found.record.method is None
    assert found.retention == found.record.plain
    assert cosines(vectors[2] @ found.exit_maps[2], vectors[4]).mean() > 0.95


def with_queries(**counts: int) -> FitTexts:
    """400 texts, and queries from the first of them."""
    queries = {
        kind: tuple(SampledQuery(f"{kind} {row}", row) for row in range(count))
        for kind, count in counts.items()
    }
    return FitTexts(sample(400), queries)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_measured_that_a_sentence_or_document_beside_it_is_learned_from(seed: int) -> None:
    documents = with_queries(sentence=300).documents_in_order
    held_out, training = split_by_document(documents, seed)
    assert not set(documents[held_out].tolist()) & set(documents[training].tolist())
    assert sorted([*held_out.tolist(), *training.tolist()]) == list(range(700))
    assert 68 <= len(held_out) <= 70


def test_only_a_rotation_learns_from_keywords(vectors: dict[int, Vectors]) -> None:
    words = clustered(100, DIM, share=0.2)
    more = {layer: np.concatenate([rows, words]) for layer, rows in vectors.items()}
    exits_alone = FitOptions(None, (DIM, 8))
    without = fit_nesting(vectors, with_queries(sentence=200), exits_alone)
    with_words = fit_nesting(more, with_queries(sentence=200, keywords=100), exits_alone)
    np.testing.assert_array_equal(with_words.exit_maps[2], without.exit_maps[2])
    assert (with_words.exits, with_words.retention) == (without.exits, without.retention)
    assert with_words.record.texts == without.record.texts + 100
    assert with_words.record.held_out == without.record.held_out


def test_a_learned_rotation_is_chosen_and_the_record_says_by_what(vectors: dict[int, Vectors]) -> None:
    more = {4: np.concatenate([vectors[4], clustered(100, DIM, share=0.9, seed=1)])}
    fit = fit_nesting(more, with_queries(sentence=200, keywords=100), FitOptions("learned", (DIM, 8)))
    assert fit.record.learned_from is not None
    assert fit.record.compared[fit.record.learned_from] == max(fit.record.compared.values())
    assert {"none", "pca", "documents"} < set(fit.record.compared)
    assert fit.rotation is not None and fit.retention[8] > fit.record.plain[8] + 0.1


def test_the_same_seed_gives_the_same_fit(vectors: dict[int, Vectors]) -> None:
    first, again = (
        fit_nesting(vectors, FitTexts(sample(ROWS)), FitOptions("pca", (DIM, 8), seed=7)) for _ in range(2)
    )
    np.testing.assert_array_equal(first.exit_maps[2], again.exit_maps[2])
    assert first.record == again.record
    assert first.exits == again.exits


def test_an_exit_that_is_in_the_space_already_is_only_rotated() -> None:
    vectors = clustered(200, DIM, share=0.5)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(DIM, DIM)))
    target = np.asarray(vectors @ rotation, np.float32)
    found = fit_ridge(vectors, target, rotation, seed=0)
    # Directions that the sample hardly has are led by the prior, not by chance.
    assert np.abs(found - rotation).max() < 1e-3


def test_a_long_way_off_is_no_way_for_the_prior() -> None:
    vectors = clustered(400, DIM)
    bend = np.random.default_rng(1).normal(size=(DIM, DIM))
    target = normalise(np.asarray(vectors @ bend, np.float32))
    assert cosines(vectors @ fit_ridge(vectors, target, None, seed=0), target).mean() > 0.97
