"""A sample of texts to fit on: from a file, from a Milvus collection, or this machine's own docstrings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from pymilvus import MilvusClient

from nestvec.catalog import read_table
from nestvec.ingest.readers import FORMATS, open_source
from nestvec.milvus import connect, load_lite, milvus_errors
from nestvec_schemas.docstrings import sample_texts
from nestvec_schemas.errors import FileUnreadable, RowRejected, SampleUnusable, nearest
from nestvec_schemas.sample import Sample

DEMO: Final = "demo"
"""The name of the sample that every machine has: the docstrings of Python's standard library."""

SIZE: Final = 4000

_USUAL = ("text", "abstract", "body", "content", "document", "doc", "passage", "sentence", "description")
_TITLE = "title"
_TEXT_SUFFIXES = (".txt", ".text", ".md")
_LINE_BYTES = 1 << 20
_ROWS = 1000


@dataclass(frozen=True)
class Store:
    """A Milvus to draw from; no ``uri`` where there is none."""

    uri: str = ""
    token: str = field(default="", repr=False)
    database: str = ""


@dataclass(frozen=True)
class Draw:
    """How to draw: at most ``size`` texts, by ``seed``; ``column`` of a table (chosen where it is None)."""

    column: str | None = None
    size: int = SIZE
    seed: int = 0


def read_sample(given: str, draw: Draw, store: Store) -> Sample:
    """Draw from what ``given`` names: ``demo``, a file (text, JSONL, CSV, Parquet), else a collection.

    Every text has the same chance. Raises FileUnreadable, SampleUnusable (no such column),
    CollectionNotFound, StoreError.
    """
    if given == DEMO:
        return Sample(DEMO, sample_texts(draw.size))
    path = Path(given).expanduser()
    if path.is_file():
        return Sample(path.name, _drawn(_file_texts(path, draw.column), draw))
    if store.uri and not path.suffix:
        with connect(store.uri, token=store.token, database=store.database, create=False) as client:
            return Sample(given, _drawn(_collection_texts(client, given, draw.column), draw))
    raise FileUnreadable(
        "there is no such sample",
        value=given,
        next_step=f"Name a file (txt, {', '.join(FORMATS)}), {DEMO}, or a collection beside --uri.",
    )


def _drawn(texts: Iterable[str], draw: Draw) -> tuple[str, ...]:
    """A reservoir (Vitter 1985, algorithm R): one pass, ``size`` texts in memory."""
    chance = Random(draw.seed)  # noqa: S311 - a sample, not a secret
    kept: list[str] = []
    for number, text in enumerate(texts):
        if number < draw.size:
            kept.append(text)
        elif (place := chance.randrange(number + 1)) < draw.size:
            kept[place] = text
    return tuple(kept)


def _file_texts(path: Path, column: str | None) -> Iterator[str]:
    if path.suffix.lower() in _TEXT_SUFFIXES:
        yield from _lines(path)
        return
    chosen: tuple[str, ...] | None = None
    for item in open_source(path).items():
        if isinstance(item.value, RowRejected):
            raise FileUnreadable(
                f"{path}, {item.place}: {item.value.cause}",
                value=item.raw or item.value.value,
                next_step=item.value.next_step,
            )
        chosen = chosen or _columns(item.value, column, path.name)
        cells = [item.value.get(name) for name in chosen]
        yield " ".join(cell for cell in cells if isinstance(cell, str) and cell)


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            while line := file.readline(_LINE_BYTES):
                if line.strip():
                    yield line.strip()
    except OSError as error:
        raise FileUnreadable(
            f"{path} cannot be read", value=error.strerror or str(error), next_step="Check the file."
        ) from error


def _columns(row: Mapping[str, object], column: str | None, name: str) -> tuple[str, ...]:
    """Whose texts are taken: the column asked for; title and text; the usual names; the only one of text."""
    cells = dict(row)
    written = [key for key, cell in cells.items() if isinstance(cell, str)]
    if column is not None:
        if column in cells:
            return (column,)
        raise SampleUnusable(
            f"{name} has no column of this name",
            value=column,
            next_step=f"There: {', '.join(cells)}.{nearest(column, cells)}",
        )
    usual = next((key for key in _USUAL if key in written), None)
    if usual is not None:
        return (_TITLE, usual) if _TITLE in written else (usual,)
    if len(written) == 1:
        return (written[0],)
    raise SampleUnusable(
        f"it cannot be told which column of {name} holds the texts",
        value=", ".join(cells) or "no columns",
        next_step="Name it with --sample-column.",
    )


def _collection_texts(client: MilvusClient, name: str, column: str | None) -> Iterator[str]:
    table = read_table(client, name)
    written = [one.name for one in table.columns if one.type == "VARCHAR" and not one.primary]
    sources = [one.source for one in table.embeddings]
    chosen = column or (sources[0] if sources else None) or (written[0] if len(written) == 1 else None)
    if chosen is None or chosen not in {one.name for one in table.columns}:
        raise SampleUnusable(
            f"it cannot be told which column of {name} holds the texts"
            if column is None
            else f"{name} has no column of this name",
            value=column or ", ".join(one.name for one in table.columns),
            next_step=f"Name one with --sample-column: {', '.join(written)}.",
        )
    with milvus_errors(f"reading collection {name}"):
        load_lite(client, name)
        rows = client.query_iterator(name, batch_size=_ROWS, output_fields=[chosen])
        try:
            while batch := rows.next():
                yield from (row[chosen] for row in batch if isinstance(row[chosen], str))
        finally:
            rows.close()
