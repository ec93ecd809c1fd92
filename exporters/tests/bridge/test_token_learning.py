"""A table of tokens is learned from texts of both encoders."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nestvec_exporters.bridge.fit import BridgeOptions, BridgeQueries, fit_bridge
from nestvec_exporters.bridge.token_learning import TokenTexts, learn_token_table
from nestvec_exporters.bridge.token_table import sum_tokens
from nestvec_exporters.space_maps.closed_form import RIDGE_WEIGHTS, ridge
from nestvec_exporters.space_maps.mapping import PairedVectors, TokenTable
from nestvec_schemas.vectors import Vectors, cosines, normalise

DIM, TOKENS, TEXTS = 32, 200, 600
UNUSED = TOKENS - 1


@dataclass(frozen=True)
class _Sample:
    """Texts whose old vectors are sums of tokens that differ from those of ``table``."""

    table: TokenTable
    tokens: list[list[int]]
    vectors: PairedVectors
    queries: list[list[int]]
    """Some tokens of each text."""
    query_vectors: PairedVectors

    def sums(self, table: TokenTable) -> Vectors:
        return sum_tokens(table, self.tokens)

    def with_sums(self, table: TokenTable, start: int, end: int) -> PairedVectors:
        """Of some texts."""
        return replace(self.vectors, tokens=self.sums(table)).at(np.arange(start, end))


def _sample() -> _Sample:
    random = np.random.default_rng(0)
    true = random.standard_normal((TOKENS, DIM)) * random.uniform(0.3, 2, (TOKENS, 1))
    alone = normalise((true + random.standard_normal(true.shape)).astype(np.float32))
    tokens = [random.integers(0, UNUSED, random.integers(12, 30)).tolist() for _ in range(TEXTS)]
    table, part = alone.astype(np.float16), random.standard_normal((DIM, DIM // 4))

    def vectors_of(rows: list[list[int]]) -> PairedVectors:
        old = normalise(np.stack([true[row].sum(axis=0) for row in rows]).astype(np.float32))
        return PairedVectors(old, normalise((old @ part).astype(np.float32)), sum_tokens(table, rows))

    queries = [row[:4] for row in tokens]
    return _Sample(table, tokens, vectors_of(tokens), queries, vectors_of(queries))


def test_maps_of_other_texts_come_nearer_to_old_vectors_by_a_learned_table() -> None:
    sample = _sample()
    seen = sample.vectors.at(np.arange(400))
    table = learn_token_table(sample.table, sample.tokens[:400], seen, RIDGE_WEIGHTS[1])
    assert table.shape == sample.table.shape
    assert table.dtype == np.float16
    before, after = (_agreement_of_others(sample, each) for each in (sample.table, table))
    assert before < 0.85
    assert after > before + 0.05
    again = learn_token_table(sample.table, sample.tokens[:400], seen, RIDGE_WEIGHTS[1])
    np.testing.assert_array_equal(table, again)


def _agreement_of_others(sample: _Sample, table: TokenTable) -> float:
    """Of ridge regression from 400 texts that reads the sums of a table, by the other texts."""
    others = sample.with_sums(table, 400, TEXTS)
    mapping = ridge(sample.with_sums(table, 0, 400), RIDGE_WEIGHTS[1])
    return float(cosines(mapping(others.inputs), others.old).mean())


def test_a_token_that_no_text_has_is_mapped_as_the_others_are() -> None:
    """Where the table is right but for a rotation, which the map finds."""
    sample = _sample()
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((DIM, DIM)))[0].astype(np.float32)
    old = normalise(sample.sums(sample.table) @ rotation)
    vectors = replace(sample.vectors, old=old, new=np.zeros_like(sample.vectors.new))
    table = learn_token_table(sample.table, sample.tokens, vectors, RIDGE_WEIGHTS[1])
    rotated = sample.table.astype(np.float32) @ rotation
    assert cosines(table.astype(np.float32), rotated).min() > 0.99


def test_a_bridge_reads_the_learned_table_where_held_out_queries_find_more() -> None:
    sample = _sample()
    queries, options = BridgeQueries(sample.query_vectors, np.arange(TEXTS)), BridgeOptions((DIM,), 2)
    tokens = TokenTexts(sample.table, sample.tokens, sample.queries)
    fixed = fit_bridge(sample.vectors, queries, options)
    fit = fit_bridge(sample.vectors, queries, options, tokens=tokens)
    name = "ridge 0.001, with tokens"
    assert fit.compared[name] > fixed.compared[name] + 0.05
    assert fit.method.endswith(", with tokens")
    assert fit.maps.tokens is not None
    assert not np.array_equal(fit.maps.tokens, sample.table)
    assert fixed.maps.tokens is None


def test_a_learned_table_that_finds_less_is_not_read() -> None:
    """Old vectors that say nothing of tokens: nothing is learned that other texts have."""
    sample = _sample()
    random = np.random.default_rng(3)
    old = normalise(random.standard_normal((TEXTS, DIM)).astype(np.float32))
    documents = replace(sample.vectors, old=old, new=normalise(old + 0.1 * old[::-1]))
    near = normalise(old + 0.05 * random.standard_normal(old.shape).astype(np.float32))
    new = normalise(near + 0.1 * near[::-1])
    queries = BridgeQueries(PairedVectors(near, new, documents.tokens), np.arange(TEXTS))
    tokens = TokenTexts(sample.table, sample.tokens, sample.tokens)
    fit = fit_bridge(documents, queries, BridgeOptions((DIM,), 2), tokens=tokens)
    assert fit.maps.tokens is None
    assert not fit.method.endswith(", with tokens")
