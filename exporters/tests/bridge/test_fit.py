"""Bridges recover maps that are known, and keep prefixes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestvec_exporters.bridge import fit as fit_module
from nestvec_exporters.bridge.fit import BridgeFit, BridgeOptions, BridgeQueries, fit_bridge
from nestvec_exporters.bridge.learn import LearningOptions, learn_map
from nestvec_exporters.space_maps.closed_form import procrustes, query_start, ridge
from nestvec_exporters.space_maps.mapping import BridgeMap, HiddenLayer, PairedVectors, between, linear
from nestvec_schemas.errors import SampleUnusable
from nestvec_schemas.vectors import Vectors, cosines, normalise

DIM = 64
TEXTS = 600


def _normal(shape: tuple[int, ...], seed: int) -> Vectors:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _rotation(seed: int = 1, width: int = DIM, dim: int = DIM) -> Vectors:
    orthogonal: Vectors = np.linalg.qr(_normal((max(width, dim),) * 2, seed))[0].astype(np.float32)
    return orthogonal[:width, :dim]


def _documents(noise: float = 0.0, seed: int = 0) -> PairedVectors:
    """New vectors, and old ones that are a rotation of them, with noise."""
    new = normalise(_normal((TEXTS, DIM), seed))
    return PairedVectors(normalise(new @ _rotation() + noise * _normal((TEXTS, DIM), seed + 7)), new)


def _queries(documents: PairedVectors, seed: int = 3) -> BridgeQueries:
    """A query near each document in both spaces."""
    near = 0.15 * _normal((TEXTS, DIM), seed)
    vectors = PairedVectors(normalise(documents.old + near @ _rotation()), normalise(documents.new + near))
    return BridgeQueries(vectors, np.arange(TEXTS))


def _fit(documents: PairedVectors, steps: int = 40) -> BridgeFit:
    return fit_bridge(documents, _queries(documents), BridgeOptions((64, 32), steps))


def test_orthogonal_map_recovers_a_rotation() -> None:
    documents = _documents()
    np.testing.assert_allclose(procrustes(documents).matrix, _rotation(), atol=1e-5)


@pytest.mark.parametrize(("width", "dim"), [(32, 16), (16, 32)])
def test_orthogonal_map_between_spaces_of_different_length_keeps_what_fits(width: int, dim: int) -> None:
    matrix = procrustes(PairedVectors(_normal((200, dim), 1), _normal((200, width), 2))).matrix
    assert matrix.shape == (width, dim)
    smaller = matrix @ matrix.T if width < dim else matrix.T @ matrix
    np.testing.assert_allclose(smaller, np.eye(16), atol=1e-5)


def test_ridge_recovers_a_linear_map() -> None:
    new, matrix = _normal((500, DIM), 1), _normal((DIM, 16), 2)
    mapping = ridge(PairedVectors(new @ matrix, new), 1e-8)
    np.testing.assert_allclose(mapping.matrix, matrix, atol=1e-3)


def test_the_simplest_of_equal_maps_is_chosen() -> None:
    fit = _fit(_documents())
    assert fit.method == "orthogonal"
    assert fit.quality == {64: 1.0, 32: 1.0}
    assert fit.mixed_quality[64] == pytest.approx(1.0, abs=0.01)
    # Nothing is learned where the spaces differ by a rotation alone.
    assert set(fit.compared) == {"identity", "orthogonal", "ridge 0.0001", "ridge 0.001", "ridge 0.01"}
    assert set(_fit(_documents(noise=0.05), steps=2).compared) == {
        *fit.compared,
        "learned",
        "learned, queries apart and linear",
        "learned, queries apart",
    }


def test_vectors_of_the_same_space_need_no_map() -> None:
    new = normalise(_normal((TEXTS, DIM), 0))
    near = 0.15 * _normal((TEXTS, DIM), 3)
    queries = PairedVectors(normalise(new + near), normalise(new + near))
    fit = fit_bridge(
        PairedVectors(new, new), BridgeQueries(queries, np.arange(TEXTS)), BridgeOptions((64,), 2)
    )
    assert fit.method == "identity"
    np.testing.assert_array_equal(fit.maps.documents.matrix, np.eye(DIM))


def test_a_learned_map_retrieves_more_by_short_prefixes() -> None:
    """Least squares serves all dims of the old space alike; what is learned by prefixes, those as well."""
    documents = _documents(noise=0.05)
    queries = _queries(documents)
    start = ridge(documents, 1e-4)
    options = LearningOptions((64, 16), steps=200, rate=5e-3)
    learned = learn_map(documents, queries.vectors, queries.rows, start, options)

    def retrieved(mapping: BridgeMap) -> float:
        """The share of queries whose nearest document by 16 dims is their own."""
        cut = normalise(mapping(queries.vectors.new)[:, :16]) @ normalise(documents.old[:, :16]).T
        return float((cut.argmax(axis=1) == queries.rows).mean())

    assert retrieved(learned) > retrieved(start) + 0.05


def test_a_map_of_queries_alone_ranks_as_the_new_encoder_does() -> None:
    """New vectors are old ones, stretched: a map of both sides undoes it, and one of queries need not."""
    old = normalise(_normal((TEXTS, DIM), 0))
    stretch = np.linspace(0.2, 3, DIM, dtype=np.float32)
    documents = PairedVectors(old, normalise(old * stretch))
    near = normalise(old + 0.5 * _normal((TEXTS, DIM), 3) / np.sqrt(DIM))
    queries = PairedVectors(near, normalise(near * stretch))
    both = ridge(documents, 1e-4)
    options = LearningOptions((64,), 60, rate=0.05, nearness=0.5, old_share=0.0, document_map=both)
    alone = learn_map(documents, queries, np.arange(TEXTS), both, options)

    def shared(mapping: BridgeMap) -> float:
        """Of the ten documents nearest to a query by new vectors, those it finds among the old ones."""
        nearest, retrieved = (
            np.argsort(-scores, axis=1)[:, :10]
            for scores in (queries.new @ documents.new.T, mapping(queries.new) @ documents.old.T)
        )
        return float((nearest[:, :, None] == retrieved[:, None, :]).any(axis=2).mean())

    assert shared(alone) > shared(both) + 0.1
    assert shared(query_start(documents, both, 1e-4)) > shared(both) + 0.05
    assert cosines(alone(queries.new), queries.old).mean() < cosines(both(queries.new), queries.old).mean()


def test_the_same_seed_gives_the_same_map() -> None:
    documents, queries = _documents(), _queries(_documents())
    options = LearningOptions((64, 16), steps=5, hidden=8)
    maps = [
        learn_map(documents, queries.vectors, queries.rows, linear(_rotation()), options) for _ in range(2)
    ]
    np.testing.assert_array_equal(maps[0](documents.new), maps[1](documents.new))


def test_a_map_between_two_has_outputs_between_theirs() -> None:
    vectors = _normal((20, DIM), 1)
    start = linear(_rotation())
    layer = HiddenLayer(_normal((DIM, 8), 2), _normal((8,), 3), _normal((8, DIM), 4))
    end = BridgeMap(_rotation(seed=5), _normal((DIM,), 6), layer)

    def outputs(mapping: BridgeMap) -> Vectors:
        values: Vectors = vectors @ mapping.matrix + mapping.bias
        if mapping.hidden is not None:
            hidden = mapping.hidden
            values = values + np.maximum(vectors @ hidden.weights + hidden.bias, 0) @ hidden.output
        return values

    wanted = 0.25 * outputs(start) + 0.75 * outputs(end)
    np.testing.assert_allclose(outputs(between(start, end, 0.75)), wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(between(start, end, 0.0)(vectors), start(vectors), atol=1e-5)
    np.testing.assert_array_equal(between(start, end, 1.0)(vectors), end(vectors))


def test_the_learned_map_is_the_best_on_the_way_from_ridge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Steps that are far too many for texts so few: the map at the end follows their noise."""
    documents = _documents(noise=0.1)
    scores = []
    for shares in (fit_module._LEARNED_SHARES, ()):
        monkeypatch.setattr(fit_module, "_LEARNED_SHARES", shares)
        scores.append(_fit(documents, steps=150).compared["learned"])
    best, end = scores
    assert best > end + 0.01


def test_mapped_vectors_are_near_the_old_ones_and_of_length_1() -> None:
    documents = _documents(noise=0.02)
    mapped = _fit(documents).maps.documents(documents.new)
    assert cosines(mapped, documents.old).min() > 0.9
    np.testing.assert_allclose(np.linalg.norm(mapped, axis=1), 1, atol=1e-5)


def test_real_queries_decide_alone() -> None:
    documents = _documents()
    own = _queries(documents)
    real = normalise(_normal((300, DIM), 5))
    vectors = PairedVectors(
        np.concatenate([own.vectors.old, normalise(real @ _rotation())]),
        np.concatenate([own.vectors.new, real]),
    )
    rows = np.concatenate([own.rows, np.full(300, -1)])
    fit = fit_bridge(documents, BridgeQueries(vectors, rows), BridgeOptions((64,), 2))
    assert fit.held_out > 60  # a quarter of them


def test_too_small_a_sample_is_refused() -> None:
    documents = _documents().at(np.arange(100))
    with pytest.raises(SampleUnusable, match="too few distinct texts"):
        fit_bridge(documents, BridgeQueries(documents, np.arange(100)), BridgeOptions((64,)))


def test_a_map_reads_tokens_where_the_vectors_alone_say_too_little() -> None:
    """The new vectors hold one half of the old ones, the sums of tokens the other."""
    documents = _with_tokens(_documents())
    near = _queries(_documents())
    queries = BridgeQueries(_with_tokens(near.vectors), near.rows)
    fit = fit_bridge(documents, queries, BridgeOptions((64, 32), 40))
    assert fit.method.endswith(", with tokens")
    assert fit.maps.documents.width == DIM
    assert fit.quality[64] > 0.95
    blind = fit_bridge(
        replace(documents, tokens=None),
        BridgeQueries(replace(queries.vectors, tokens=None), queries.rows),
        BridgeOptions((64, 32), 40),
    )
    assert blind.maps.documents.width == DIM // 2
    assert blind.quality[64] < fit.quality[64] - 0.03


def test_tokens_that_say_nothing_are_not_read() -> None:
    documents = replace(_documents(noise=0.05), tokens=_normal((TEXTS, DIM), 8))
    near = _queries(documents)
    queries = BridgeQueries(replace(near.vectors, tokens=_normal((TEXTS, DIM), 9)), near.rows)
    fit = fit_bridge(documents, queries, BridgeOptions((64, 32), 2))
    assert fit.maps.documents.width == DIM
    assert [name for name in fit.compared if name.endswith("with tokens")] == ["ridge 0.001, with tokens"]


def _with_tokens(texts: PairedVectors) -> PairedVectors:
    half = DIM // 2
    return PairedVectors(texts.old, normalise(texts.new[:, :half]), normalise(texts.new[:, half:]))
