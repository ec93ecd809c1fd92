"""A random sample of texts: from a file, a Milvus collection, or the docstrings on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from pymilvus import MilvusClient

from nestvec.datasets.readers import FORMATS, open_source
from nestvec.milvus.address import ConnectSettings
from nestvec.milvus.catalog import read_table
from nestvec.milvus.connection import milvus_errors, open_milvus
from nestvec.milvus.lite import load_lite
from nestvec_schemas.errors import FileUnreadable, RowRejected, SampleUnusable, nearest
from nestvec_schemas.samples.docstrings import sample_texts
from nestvec_schemas.samples.sample import Sample

DEMO: Final = "demo"
"""The name of the sample that every machine has: docstrings of Python's standard library."""

DEFAULT_SAMPLE_SIZE: Final = 4000

_TEXT_COLUMNS = (
    "text",
    "abstract",
    "body",
    "content",
    "document",
    "doc",
    "passage",
    "sentence",
    "description",
)
QUERY_COLUMNS: Final = ("query", "question", "text")
"""Columns that hold the queries of a log, likeliest first."""

_TITLE_COLUMN = "title"
_TEXT_SUFFIXES = (".txt", ".text", ".md")
_MAX_LINE_BYTES = 1 << 20
_QUERY_BATCH_ROWS = 1000


@dataclass(frozen=True)
class SampleStore:
    """The Milvus of a sample that is a collection."""

    uri: str = ""
    """Empty without a Milvus."""

    token: str = field(default="", repr=False)
    database: str = ""
    settings: ConnectSettings = field(default_factory=ConnectSettings)


@dataclass(frozen=True)
class SampleOptions:
    """How to sample."""

    column: str | None = None
    """Column of the texts; None chooses one."""

    size: int = DEFAULT_SAMPLE_SIZE
    """The most texts."""

    seed: int = 0

    usual_columns: tuple[str, ...] = _TEXT_COLUMNS
    """Columns to choose from, likeliest first."""

    with_title: bool = True
    """Whether a title belongs to the text beside it."""

    next_step: str = "Name it with --sample-column."
    """What to do if none of them is there."""


def read_sample(source: str, options: SampleOptions, store: SampleStore) -> Sample:
    """Sample what ``source`` names: ``demo``, a file (text, JSONL, CSV, Parquet), or else a collection.

    Every text is equally likely. Raises FileUnreadable, SampleUnusable (no such column), CollectionNotFound,
    StoreError.
    """
    if source == DEMO:
        return Sample(DEMO, sample_texts(options.size))
    path = Path(os.path.expanduser(source))  # noqa: PTH111 - pathlib's raises on a user who does not exist
    if path.is_file():
        return read_file_sample(path, options)
    if store.uri and not path.suffix:
        with open_milvus(
            store.uri, token=store.token, database=store.database, create=False, settings=store.settings
        ) as client:
            return sample_collection(client, source, options)
    raise FileUnreadable(
        "there is no such sample",
        value=source,
        next_step=f"Name a file (txt, {', '.join(FORMATS)}), {DEMO}, or a collection together with --uri.",
    )


def sample_collection(client: MilvusClient, name: str, options: SampleOptions) -> Sample:
    """Sample a collection. Raises CollectionNotFound, SampleUnusable (no such column), StoreError."""
    return Sample(name, _reservoir_sample(_collection_texts(client, name, options.column), options))


def read_file_sample(path: Path, options: SampleOptions) -> Sample:
    """Sample a file. Raises FileUnreadable, SampleUnusable."""
    return Sample(path.name, _reservoir_sample(_file_texts(path, options), options))


def read_query_log(path: Path, size: int, seed: int) -> Sample:
    """Sample real queries from a file. Raises FileUnreadable, SampleUnusable."""
    options = SampleOptions(
        size=size,
        seed=seed,
        usual_columns=QUERY_COLUMNS,
        with_title=False,
        next_step="Name its column query, or give a text file with a query on each line.",
    )
    return read_file_sample(path, options)


def _reservoir_sample(texts: Iterable[str], options: SampleOptions) -> tuple[str, ...]:
    """Algorithm R (Vitter 1985): one pass, with ``size`` texts in memory."""
    random = Random(options.seed)  # noqa: S311 - a sample, not a secret
    reservoir: list[str] = []
    for number, text in enumerate(texts):
        if number < options.size:
            reservoir.append(text)
        elif (place := random.randrange(number + 1)) < options.size:
            reservoir[place] = text
    return tuple(reservoir)


def _file_texts(path: Path, options: SampleOptions) -> Iterator[str]:
    if path.suffix.lower() in _TEXT_SUFFIXES:
        yield from _lines(path)
        return
    selected: tuple[str, ...] | None = None
    for item in open_source(path).items():
        if isinstance(item.value, RowRejected):
            raise FileUnreadable(
                f"{path}, {item.place}: {item.value.cause}",
                value=item.raw or item.value.value,
                next_step=item.value.next_step,
            )
        selected = selected or _select_columns(item.value, options, path.name)
        cells = [item.value.get(name) for name in selected]
        yield " ".join(cell for cell in cells if isinstance(cell, str) and cell)


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            while line := file.readline(_MAX_LINE_BYTES):
                if line.strip():
                    yield line.strip()
    except OSError as error:
        raise FileUnreadable(
            f"{path} cannot be read", value=error.strerror or str(error), next_step="Check the file."
        ) from error


def _select_columns(row: Mapping[str, object], options: SampleOptions, name: str) -> tuple[str, ...]:
    """The columns of the texts: the requested one; title and text; a usual name; the only column of text."""
    cells, column = dict(row), options.column
    text_columns = [key for key, cell in cells.items() if isinstance(cell, str)]
    if column is not None:
        if column in cells:
            return (column,)
        raise SampleUnusable(
            f"{name} has no column of this name",
            value=column,
            next_step=f"Available: {', '.join(cells)}.{nearest(column, cells)}",
        )
    # A column is there even if its first cell is null.
    possible_columns = [key for key, cell in cells.items() if cell is None or isinstance(cell, str)]
    common = next((key for key in options.usual_columns if key in possible_columns), None)
    if common is not None:
        titled = options.with_title and _TITLE_COLUMN in possible_columns
        return (_TITLE_COLUMN, common) if titled else (common,)
    if len(text_columns) == 1:
        return (text_columns[0],)
    raise SampleUnusable(
        f"cannot determine which column of {name} holds the texts",
        value=", ".join(cells) or "no columns",
        next_step=options.next_step,
    )


def _collection_texts(client: MilvusClient, name: str, column: str | None) -> Iterator[str]:
    table = read_table(client, name)
    text_columns = [field.name for field in table.columns if field.type == "VARCHAR" and not field.primary]
    sources = [field.source for field in table.embeddings]
    selected = (
        column or (sources[0] if sources else None) or (text_columns[0] if len(text_columns) == 1 else None)
    )
    if selected is None or selected not in {field.name for field in table.columns}:
        raise SampleUnusable(
            f"cannot determine which column of {name} holds the texts"
            if column is None
            else f"{name} has no column of this name",
            value=column or ", ".join(field.name for field in table.columns),
            next_step=f"Name one with --sample-column: {', '.join(text_columns)}.",
        )
    with milvus_errors(f"reading collection {name}"):
        load_lite(client, name)
        rows = client.query_iterator(name, batch_size=_QUERY_BATCH_ROWS, output_fields=[selected])
        try:
            while batch := rows.next():
                yield from (row[selected] for row in batch if isinstance(row[selected], str))
        finally:
            rows.close()
