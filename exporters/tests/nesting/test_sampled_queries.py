from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

from nestvec_exporters.nesting.fit_texts import fit_texts
from nestvec_exporters.nesting.sampled_queries import QUERY_KINDS, QueryKind, sample_queries
from nestvec_exporters.nesting.selection import MIN_QUERY_LOG, QUERY_LOG
from nestvec_schemas.errors import SampleUnusable
from nestvec_schemas.manifest import RotationMethod
from nestvec_schemas.samples.sample import Sample

PROSE = tuple(
    f"Valve v{at} of maker m{at * 7 % 13} opens at p{at} bar. Its pump q{at} and tank t{at} feed it! "
    f"Drain d{at} empties it."
    for at in range(30)
)


def texts_of(texts: Sequence[str], kind: QueryKind, *, seed: int) -> list[str]:
    return [query.text for query in sample_queries(texts, kind, seed=seed)]


def test_sentences_of_long_texts_stand_in_for_queries() -> None:
    long = "The first sentence of it. The second one says more! Is there a third? Yes."
    chinese = (
        "第一句话在这里说明了一些事情并且足够长，真的足够长。第二句话也是这样的，足够长了吧，真的是真的。"
    )
    texts = [long, "one short text", chinese]
    first, second = found = texts_of(texts, "sentence", seed=1)
    assert first in ("The first sentence of it.", "The second one says more!")
    assert second in chinese and second.endswith("。")
    assert found == texts_of(texts, "sentence", seed=1)
    assert len(texts_of([long] * 20, "sentence", seed=1)) == 2


def test_keywords_of_texts_stand_in_for_queries() -> None:
    wing = "The lift of the wing falls where the flow over it breaks away and the boundary layer ends"
    cell = "The protein of the cell falls where the gene of it is cut and the membrane ends"
    texts = [wing, cell, *(f"The thing of number {at} is where the others are" for at in range(20))]
    found = texts_of(texts, "keywords", seed=3)
    assert len(found) == 2
    for asked, text in zip(found, texts, strict=False):
        words = asked.split()
        assert 3 <= len(words) <= 8
        assert set(words) <= set(text.lower().split())
        assert len(set(words)) == len(words)
    assert found == texts_of(texts, "keywords", seed=3)
    # What every text says tells none from the others.
    assert not {"the", "of", "where"} & set(f"{found[0]} {found[1]}".split())
    assert texts_of(["!", "? ?", "…"], "keywords", seed=0) == []


def test_a_span_is_consecutive_words_and_less_than_half_a_text() -> None:
    texts = [*PROSE, "two words"]
    spans = sample_queries(texts, "span", seed=2)
    assert len(spans) == len(PROSE)
    for span in spans:
        assert span.text in texts[span.row]
        assert 2 <= len(span.text.split()) <= len(texts[span.row].split()) // 2


@pytest.mark.parametrize("kind", QUERY_KINDS)
def test_every_query_names_the_text_that_it_is_from(kind: QueryKind) -> None:
    queries = sample_queries(PROSE, kind, seed=0)
    assert len({query.text for query in queries}) == len(queries) > 20
    for query in queries:
        words, source = (set(re.findall(r"\w+", text.lower())) for text in (query.text, PROSE[query.row]))
        assert words <= source


def test_rows_of_queries_follow_those_of_documents() -> None:
    texts = fit_texts(Sample("s", PROSE), None, method="learned", seed=0)
    assert list(texts.queries) == ["sentence", "keywords", "span"]
    everything = (*PROSE, *texts.query_texts)
    rows = texts.query_rows()
    assert rows["sentence"][0] == len(PROSE) and rows["span"][1] == len(everything)
    for kind, (start, end, sources) in rows.items():
        assert everything[start:end] == tuple(query.text for query in texts.queries[kind])
        assert len(sources) == end - start
    assert len(texts.documents_in_order) == rows["sentence"][1]
    np.testing.assert_array_equal(texts.documents_in_order[len(PROSE) :], rows["sentence"][2])


@pytest.mark.parametrize("method", ["pca", None])
def test_only_a_learned_rotation_needs_more_than_sentences(method: RotationMethod | None) -> None:
    assert list(fit_texts(Sample("s", PROSE), None, method=method, seed=0).queries) == ["sentence"]


def test_a_log_replaces_other_queries_and_must_be_long_enough() -> None:
    log = Sample("log.txt", (*(f"valve {at}" for at in range(MIN_QUERY_LOG)), "valve 1", " "))
    texts = fit_texts(Sample("s", PROSE), log, method="learned", seed=0)
    assert list(texts.queries) == ["sentence", QUERY_LOG]
    assert len(texts.queries[QUERY_LOG]) == MIN_QUERY_LOG
    assert (texts.query_rows()[QUERY_LOG][2] == -1).all()
    assert texts.query_log_name == "log.txt"
    short = Sample("log.txt", log.texts[1:MIN_QUERY_LOG])
    with pytest.raises(SampleUnusable, match=f"log.txt has too few.*Give at least {MIN_QUERY_LOG}"):
        fit_texts(Sample("s", PROSE), short, method="learned", seed=0)
