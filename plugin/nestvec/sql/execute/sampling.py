"""Queries from a sample of a collection's texts, shortened to the length of typical queries."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymilvus import MilvusClient

from nestvec.milvus.catalog import Table
from nestvec.milvus.connection import milvus_errors
from nestvec.sql.plan.filter import literal

DEFAULT_QUERIES: Final = 200
SEED: Final = 20220526
"""Fixed, so that measurements of one collection are repeatable."""

_MAX_ROWS_READ = 1_000_000
"""The number of rows that the sample is drawn from: the first ones that Milvus returns."""

_PAGE_ROWS = 10_000
_KEYS_PER_READ = 100
_MAX_QUERY_CHARS = 300

_MAX_QUERY_WORDS = 6
"""A text of up to this many words is a query as it is."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class QuerySample:
    """Queries for a text column."""

    queries: tuple[str, ...]
    keys: tuple[Any, ...]
    """The primary key of the row that each was taken from."""
    rows: int
    """Rows of the collection."""


def sample_queries(
    client: MilvusClient, table: Table, source: str, queries: int = DEFAULT_QUERIES
) -> QuerySample:
    """Up to ``queries`` sentences, each of another row. Raises StoreRefused, StoreUnreachable."""
    rng = random.Random(SEED)  # noqa: S311 - a sample, no secret
    with milvus_errors(f"sampling collection {table.name}"):
        # Twice as many rows as queries: some have no text, or a text that another has.
        keys, rows = sample_keys(client, table, 2 * queries, rng)
        texts: dict[str, Any] = {}
        for start in range(0, len(keys), _KEYS_PER_READ):
            for key, text in _texts(client, table, source, keys[start : start + _KEYS_PER_READ]):
                texts.setdefault(as_query(text, rng), key)
    return QuerySample(tuple(texts)[:queries], tuple(texts.values())[:queries], rows)


def sample_keys(client: MilvusClient, table: Table, count: int, rng: random.Random) -> tuple[list[Any], int]:
    """A uniform sample of primary keys (reservoir sampling, Vitter 1985), and the number of rows."""
    reservoir: list[Any] = []
    total = 0
    for key in _all_keys(client, table):
        total += 1
        if len(reservoir) < count:
            reservoir.append(key)
        elif (place := rng.randrange(total)) < count:
            reservoir[place] = key
    rng.shuffle(reservoir)
    return reservoir, max(total, int(client.get_collection_stats(table.name).get("row_count", 0)))


def _all_keys(client: MilvusClient, table: Table) -> Iterator[Any]:
    name = table.primary.name
    pages = client.query_iterator(
        table.name, batch_size=_PAGE_ROWS, limit=_MAX_ROWS_READ, output_fields=[name]
    )
    try:
        while page := pages.next():
            for row in page:
                yield row[name]
            # pymilvus inserts the last key into the filter of the next page without escaping it.
            if any(character in str(page[-1][name]) for character in '"\\'):
                return
    finally:
        pages.close()


def _texts(client: MilvusClient, table: Table, source: str, keys: Sequence[Any]) -> Iterator[tuple[Any, str]]:
    """These keys and the texts of their rows, in the order of the keys; blank ones are skipped."""
    name = table.primary.name
    listed = ", ".join(literal(key) for key in keys)
    rows = client.query(table.name, filter=f"{name} in [{listed}]", output_fields=[name, source])
    by_key = {row[name]: row[source] for row in rows}
    for key in keys:
        text = by_key.get(key)
        if text and text.strip():
            yield key, text


def as_query(text: str, rng: random.Random) -> str:
    """One sentence of a text; half of its words, in sequence, where it has only one sentence."""
    sentences = [sentence for sentence in _SENTENCE.split(text.strip()) if len(sentence.split()) > 2]
    chosen = rng.choice(sentences) if sentences else text.strip()
    words = chosen.split()
    if len(sentences) < 2 and len(words) > _MAX_QUERY_WORDS:
        half = max(len(words) // 2, _MAX_QUERY_WORDS // 2)
        start = rng.randrange(len(words) - half + 1)
        words = words[start : start + half]
    return " ".join(words)[:_MAX_QUERY_CHARS]
