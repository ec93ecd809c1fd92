from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec_exporters.nesting.neighbours import neighbours
from nestvec_exporters.nesting.orthogonal import pca_rotation
from nestvec_exporters.nesting.rotation import (
    DEFAULT_STEPS,
    QueryDocumentIndices,
    learn_rotation,
    prefix_divergence,
)
from nestvec_schemas.vectors import Matrix, Vectors, cosines, nest, normalise


def clustered(rows: int, dim: int, seed: int = 0, *, share: float = 0.7) -> Vectors:
    """Unit vectors as encoders give them: a mean, and variance that falls off over hidden directions."""
    draw = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(draw.normal(size=(dim, dim)))
    spread = share ** np.arange(dim)
    return normalise(
        np.asarray((draw.normal(size=(rows, dim)) * spread + 0.2 * spread[0]) @ axes, np.float32)
    )


def quick(vectors: Vectors) -> Matrix:
    return learn_rotation(vectors, steps=30)


def hundred(vectors: Vectors) -> Matrix:
    return learn_rotation(vectors, steps=100)


FITS = pytest.mark.parametrize("fit", [pca_rotation, quick])


@FITS
@settings(max_examples=8, deadline=None)
@given(rows=st.integers(30, 80), dim=st.sampled_from([2, 17, 40]), seed=st.integers(0, 1000))
def test_a_rotation_is_orthogonal_and_keeps_every_cosine(
    fit: Callable[[Vectors], Matrix], rows: int, dim: int, seed: int
) -> None:
    vectors = clustered(rows, dim, seed)
    rotation = fit(vectors)
    assert np.abs(rotation.T @ rotation - np.eye(dim)).max() < 1e-12
    turned = np.asarray(vectors @ rotation.astype(np.float32), np.float32)
    shuffled = np.random.default_rng(seed).permutation(rows)
    assert np.abs(cosines(turned, turned[shuffled]) - cosines(vectors, vectors[shuffled])).max() < 1e-6
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(vectors, axis=1), atol=1e-6)


@FITS
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_a_prefix_of_a_prefix_is_that_prefix(fit: Callable[[Vectors], Matrix], data: st.DataObject) -> None:
    vectors = clustered(60, 20)
    turned = np.asarray(vectors @ fit(vectors), np.float32)
    longer = data.draw(st.integers(1, 20))
    shorter = data.draw(st.integers(1, longer))
    np.testing.assert_allclose(nest(nest(turned, longer), shorter), nest(turned, shorter), atol=1e-6)


def kept(vectors: Vectors, rotation: Matrix, dim: int) -> float:
    rows = np.arange(len(vectors))
    near = neighbours(vectors, rows, vectors)
    cut = np.asarray((vectors @ rotation)[:, :dim], np.float32)
    found = neighbours(cut, rows, cut)
    return float((found[:, :, None] == near[:, None, :]).any(axis=2).mean())


@pytest.mark.parametrize("dim", [4, 8, 16])
def test_every_prefix_of_other_vectors_gets_better(dim: int) -> None:
    fitted, others = np.split(clustered(1200, 48, share=0.93), 2)
    plain = kept(others, np.eye(48), dim)
    assert kept(others, pca_rotation(fitted), dim) > plain + 0.05
    assert kept(others, learn_rotation(fitted, steps=120), dim) > plain + 0.05


def topics(rows: int, *, noise: float = 0.02) -> Vectors:
    """Vectors of forty topics, and of eight wide directions that have nothing to do with them."""
    draw = np.random.default_rng(0)
    vectors = noise * draw.normal(size=(rows, 48))
    vectors[:, :8] += 0.3 * draw.normal(size=(rows, 8))
    vectors[np.arange(rows), 8 + draw.integers(0, 40, rows)] += 1
    return normalise(vectors.astype(np.float32))


def no_sources(queries: int) -> torch.Tensor:
    return torch.full((queries,), -1)


def apart(vectors: Vectors, rotation: Matrix, prefixes: Sequence[int]) -> float:
    """The mean divergence of prefixes where every vector is searched for among all others."""
    turned = torch.from_numpy(np.asarray(vectors @ rotation, np.float32))
    everyone = torch.arange(len(vectors))
    search = QueryDocumentIndices(everyone, everyone, no_sources(len(vectors)))
    return float(prefix_divergence(turned, torch.from_numpy(vectors), search, prefixes).mean())


def test_divergence_is_that_of_searches_and_leaves_out_a_vector_itself() -> None:
    draw = np.random.default_rng(3)
    whole = normalise(draw.normal(size=(9, 6)).astype(np.float32))
    turned = np.asarray(whole @ pca_rotation(whole), np.float32)
    asking, asked = [0, 7, 8], [0, 1, 2, 3, 4]

    def shares(vectors: Vectors, row: int) -> Vectors:
        others = [at for at in asked if at != row]
        scores = np.exp(20 * (normalise(vectors[[row]]) @ normalise(vectors[others]).T)[0])
        return np.asarray(scores / scores.sum())

    aims = [shares(whole, row) for row in asking]
    expected = [
        np.mean(
            [
                (aim * np.log(aim / shares(turned[:, :dim], row))).sum()
                for row, aim in zip(asking, aims, strict=True)
            ]
        )
        for dim in (2, 4)
    ]
    search = QueryDocumentIndices(torch.tensor(asking), torch.tensor(asked), no_sources(3))
    found = prefix_divergence(torch.from_numpy(turned), torch.from_numpy(whole), search, (2, 4))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


def test_what_only_asks_is_brought_near_to_documents_alone() -> None:
    """Half of the vectors ask; what tells them apart from one another says nothing of the documents."""
    draw = np.random.default_rng(0)
    documents = topics(1000)
    asking = topics(1000)[draw.permutation(1000)]
    asking[:, :8] += draw.normal(size=(1000, 8)).astype(np.float32)
    both = normalise(np.concatenate([documents, asking]))
    search = QueryDocumentIndices(torch.arange(1000, 1500), torch.arange(1000), no_sources(500))
    found = []
    for count in (1000, None):
        turned = np.asarray(both @ learn_rotation(both, documents=count, steps=100), np.float32)
        found.append(
            float(prefix_divergence(torch.from_numpy(turned), torch.from_numpy(both), search, (16,)))
        )
    assert found[0] < found[1]


def test_a_prefix_learns_to_rank_the_document_first_that_a_query_was_taken_from() -> None:
    """Queries share with their documents what says little at full length: a few weak directions."""
    draw = np.random.default_rng(0)
    documents = topics(800)
    documents[:, 40:48] += 0.05 * draw.normal(size=(800, 8)).astype(np.float32)
    queries = 0.05 * draw.normal(size=(800, 48)).astype(np.float32)
    queries[:, 40:48] += 4 * documents[:, 40:48]
    vectors = normalise(np.concatenate([documents, queries]))
    hits = []
    for sources in ((), np.arange(800)):
        rotation = learn_rotation(vectors, documents=800, sources=sources, steps=100)
        turned = normalise(np.asarray(vectors @ rotation, np.float32)[:, :16])
        similarities = turned[800:] @ turned[:800].T
        ranks = (similarities > np.diag(similarities)[:, None]).sum(axis=1)
        hits.append(float((ranks < 10).mean()))
    assert hits[1] > hits[0] + 0.02


def test_the_loss_of_sources_is_their_cross_entropy_and_documents_have_none() -> None:
    whole = torch.nn.functional.normalize(torch.eye(6) + 0.1, dim=1)
    queries, documents = torch.tensor([4, 5]), torch.tensor([0, 1, 2])
    alone, beside = (
        prefix_divergence(whole, whole, QueryDocumentIndices(queries, documents, sources), (6,))
        for sources in (torch.tensor([-1, -1]), torch.tensor([2, -1]))
    )
    # At full length there is no divergence; three documents are equally near.
    np.testing.assert_allclose(alone.numpy(), 0, atol=1e-6)
    np.testing.assert_allclose(beside.numpy(), 0.3 * np.log(3), rtol=1e-4)


def test_a_sample_contains_the_sources_of_its_queries() -> None:
    indices = QueryDocumentIndices(torch.arange(50, 60), torch.arange(50), torch.arange(10) - 2)
    sample = indices.sample(6, 5, torch.Generator().manual_seed(0))
    assert len(sample.queries) == 6
    sources = sample.sources[sample.sources >= 0]
    assert set(sources.tolist()) <= set(sample.documents.tolist())
    assert len(sample.documents) <= 5 + len(sources)
    assert (sample.queries - 52 == sample.sources.clamp(min=-1))[sample.sources >= 0].all()


def test_learning_finds_what_is_alike_where_principal_axes_find_what_is_wide() -> None:
    fitted, others = np.split(topics(2000), 2)
    found = {}
    for fit in (pca_rotation, hundred):
        found[fit] = apart(others[:500], fit(fitted), (16, 24))
    assert found[hundred] < found[pca_rotation] / 2


def test_few_vectors_are_learned_from_slowly() -> None:
    fitted, others = np.split(topics(800, noise=0.15), [300])
    heard: list[tuple[int, int]] = []
    rotation = learn_rotation(fitted, on_step=lambda done, total: heard.append((done, total)))
    # The first rate got nowhere with what was kept back, and was given up.
    assert heard[-1][0] > DEFAULT_STEPS
    prefixes = (16, 24, 32)
    assert apart(others, rotation, prefixes) < 0.9 * apart(others, pca_rotation(fitted), prefixes)
    assert all(done <= total for done, total in heard)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)


def test_what_is_in_a_better_order_than_its_principal_axes_is_not_turned_back() -> None:
    vectors = topics(1000)
    ordered = np.asarray(vectors @ hundred(vectors), np.float32)
    # A fit that may take no step shows where it starts from.
    np.testing.assert_allclose(learn_rotation(ordered, steps=0), np.eye(48), atol=1e-12)
    mixed = clustered(1000, 48, share=0.93)
    np.testing.assert_allclose(learn_rotation(mixed, steps=0), pca_rotation(mixed), atol=1e-9)


@FITS
def test_the_same_vectors_give_the_same_rotation(fit: Callable[[Vectors], Matrix]) -> None:
    np.testing.assert_array_equal(fit(clustered(100, 24)), fit(clustered(100, 24)))


def test_another_seed_draws_other_batches() -> None:
    vectors = topics(1500)
    assert not np.array_equal(
        learn_rotation(vectors, steps=20, seed=0), learn_rotation(vectors, steps=20, seed=1)
    )


def test_a_rotation_says_how_far_it_is() -> None:
    heard: list[tuple[int, int]] = []
    learn_rotation(clustered(60, 24), steps=5, on_step=lambda done, total: heard.append((done, total)))
    assert heard[-1] == (5, 5)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)


def test_more_dims_than_vectors_are_still_a_rotation() -> None:
    rotation = learn_rotation(clustered(20, 64), steps=5)
    assert np.abs(rotation.T @ rotation - np.eye(64)).max() < 1e-12
