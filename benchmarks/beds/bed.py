"""A test bed: documents, queries, and which documents answer which query."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_DOCUMENTS = 1600
MAX_QUERIES = 300
MIN_DOCUMENTS, MIN_QUERIES = 500, 150


@dataclass(frozen=True)
class Bed:
    """Documents and queries with their judgements."""

    name: str

    documents: tuple[str, ...]

    queries: tuple[str, ...]

    relevant: tuple[dict[int, float], ...]
    """Per query, the gain of each relevant document, by its row."""

    def __post_init__(self) -> None:
        if len(self.documents) < MIN_DOCUMENTS or len(self.queries) < MIN_QUERIES:
            raise ValueError(f"{self.name}: {len(self.documents)} documents, {len(self.queries)} queries")


def bed_of_pairs(name: str, pairs: Iterable[tuple[str, str]]) -> Bed:
    """A bed of pairs of a query and the document that answers it.

    A document that repeats another is dropped, and so is a query that has several documents. At most
    MAX_DOCUMENTS are drawn, and MAX_QUERIES of their queries: by the hash of the text, so that the draw is
    the same on every machine that has the same texts.
    """
    by_document = {squeeze(document): squeeze(query) for query, document in pairs if document and query}
    counts: dict[str, int] = {}
    for query in by_document.values():
        counts[query] = counts.get(query, 0) + 1
    drawn = draw(by_document, MAX_DOCUMENTS)
    rows = [row for row, document in enumerate(drawn) if counts[by_document[document]] == 1][:MAX_QUERIES]
    return Bed(
        name,
        tuple(drawn),
        tuple(by_document[drawn[row]] for row in rows),
        tuple({row: 1.0} for row in rows),
    )


def draw(texts: Iterable[str], count: int) -> list[str]:
    """At most ``count`` of the texts, in the order of their hashes."""
    return sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())[:count]


def squeeze(text: str) -> str:
    """The text with single spaces."""
    return " ".join(text.split())


def words_of(name: str) -> str:
    """The words of an identifier: ``http.HTTPServer_close`` as ``http http server close``."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return " ".join(re.findall(r"[^\W_]+", split)).lower()


def halves(texts: Sequence[str], min_words: int) -> list[tuple[str, str]]:
    """The second half of each text of at least ``min_words`` words, and its first."""
    pairs = []
    for text in texts:
        words = text.split()
        if len(words) >= min_words:
            middle = len(words) // 2
            pairs.append((" ".join(words[middle:]), " ".join(words[:middle])))
    return pairs
