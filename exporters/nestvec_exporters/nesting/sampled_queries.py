"""Queries sampled from texts, to stand in for those that a collection will receive."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Final, Literal

import numpy as np

QueryKind = Literal["sentence", "keywords", "span"]

QUERY_KINDS: Final[tuple[QueryKind, ...]] = ("sentence", "keywords", "span")

_SENTENCE_ENDS = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n\s*\n")
_MIN_SENTENCE_CHARS, _MAX_SENTENCE_CHARS = 20, 300
_WORD = r"\b\w{2,24}\b"
_MIN_KEYWORDS, _MAX_KEYWORDS = 3, 8
_MIN_SPAN_WORDS, _MAX_SPAN_WORDS = 2, 10


@dataclass(frozen=True)
class SampledQuery:
    """A query, and the text that it was taken from."""

    text: str

    row: int
    """The text's row."""


def sample_queries(texts: Sequence[str], kind: QueryKind, *, seed: int) -> list[SampledQuery]:
    """At most one query of each text, in the texts' order; a repeated query is dropped.

    - ``sentence``: a random sentence of a text that has several.
    - ``keywords``: some of the words that distinguish a text from the others by tf-idf (Spärck Jones 1972),
      in random order; a text of few words yields none.
    - ``span``: a few consecutive words, fewer than half of the text's.
    """
    random = Random(seed)  # noqa: S311 - a sample, not a secret
    sampled = {"sentence": _sentences, "keywords": _keywords, "span": _spans}[kind](texts, random)
    by_text: dict[str, SampledQuery] = {}
    for query in sampled:
        by_text.setdefault(query.text, query)
    return list(by_text.values())


def _sentences(texts: Sequence[str], random: Random) -> Iterator[SampledQuery]:
    for row, text in enumerate(texts):
        sentences = [
            sentence
            for sentence in _SENTENCE_ENDS.split(text)
            if _MIN_SENTENCE_CHARS <= len(sentence) <= _MAX_SENTENCE_CHARS
        ]
        if len(sentences) > 1:
            yield SampledQuery(random.choice(sentences), row)


def _keywords(texts: Sequence[str], random: Random) -> Iterator[SampledQuery]:
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 - seconds of imports

    vectorizer = TfidfVectorizer(token_pattern=_WORD, sublinear_tf=True, max_df=0.5, dtype=np.float32)
    try:
        table = vectorizer.fit_transform(texts)
    except ValueError:  # no word distinguishes the texts
        return
    words = vectorizer.get_feature_names_out()
    for row, (start, end) in enumerate(pairwise(table.indptr)):
        word_indices, weights = table.indices[start:end], table.data[start:end]
        leading = word_indices[np.lexsort((word_indices, -weights))[:_MAX_KEYWORDS]].tolist()
        if len(leading) > _MIN_KEYWORDS:
            count = random.randint(_MIN_KEYWORDS, len(leading))
            yield SampledQuery(" ".join(words[index] for index in random.sample(leading, count)), row)


def _spans(texts: Sequence[str], random: Random) -> Iterator[SampledQuery]:
    for row, text in enumerate(texts):
        words = text.split()
        longest = min(_MAX_SPAN_WORDS, len(words) // 2)
        if longest >= _MIN_SPAN_WORDS:
            count = random.randint(_MIN_SPAN_WORDS, longest)
            start = random.randint(0, len(words) - count)
            yield SampledQuery(" ".join(words[start : start + count]), row)
