"""That a collection has the rows of another, and vectors of its own texts, before readers use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from nestvec.client.service_client import fetch_info
from nestvec.client.service_key import environment_api_key
from nestvec.collections.change.copy import Copy
from nestvec.collections.change.repair import mark_differing
from nestvec.collections.change.rows import Row, RowReader
from nestvec.collections.vector_agreement import (
    Numbers,
    agreement,
    has_content,
    min_agreement,
    read_vector,
)
from nestvec.collections.written_vectors import embed_as_written
from nestvec.ingest.write.patience import wait_for_service
from nestvec.milvus.catalog import EmbeddingColumn
from nestvec_schemas.errors import StoreRefused

SAMPLED_ROWS: Final = 64


@dataclass(frozen=True)
class _Sample:
    """Rows that both collections have, and that nobody has written since."""

    rows: dict[object, Row]
    """By key, as the first collection has them."""

    partitions: dict[object, str]
    """Of each row; empty where Milvus chooses it."""


def verify_copy(copy: Copy, new: Sequence[EmbeddingColumn], computed: Sequence[EmbeddingColumn] = ()) -> None:
    """Compare counts, sampled rows, and the vectors that were made for the copy.

    Those of ``new`` fields are compared with vectors that the service makes again, those of ``computed``
    ones, which Milvus made again, with the first collection's. Rows that are being written meanwhile are not
    compared. Raises StoreRefused, with the row.
    """
    _check_counts(copy)
    sample = _check_rows(copy)
    for column in new:
        _check_new(copy, column, sample)
    for column in computed:
        _check_computed(copy, column, sample)


def _check_counts(copy: Copy) -> None:
    recorded, rows, copied = _counts(copy)
    if copied > recorded and mark_differing(copy):
        copy.settle()
        recorded, rows, copied = _counts(copy)
    if copied != recorded:
        raise _differs(copy, f"{copied} rows, where {recorded} were copied")
    # A row more may have been written by now, but a key that several rows have is copied once only.
    if rows > recorded and not copy.pass_over() and copy.source.count() > copy.journal.count():
        raise StoreRefused(
            f"keys of {copy.source.collection} are not unique",
            value=f"{rows} rows, {recorded} keys",
            next_step="Delete the rows that have the key of another one.",
        )


def _counts(copy: Copy) -> tuple[int, int, int]:
    """Rows that are recorded as copied, and those of the first and of the second collection."""
    return copy.journal.count(), copy.source.count(), copy.target.count()


def _check_rows(copy: Copy) -> _Sample:
    keys = copy.journal.sample(SAMPLED_ROWS)
    recorded = copy.journal.digests(keys)
    sample = _Sample({}, {})
    for partition in copy.source.partitions():
        before, after = copy.source.rows(keys, partition), copy.target.rows(keys, partition)
        for key, row in before.items():
            if copy.source.digest(row, partition) != recorded.get(key):
                continue  # changed since: a later pass copies it
            if key not in after or copy.target.digest(after[key], partition) != recorded[key]:
                raise _differs(copy, f"row {str(key)[:60]} differs")
            sample.rows[key], sample.partitions[key] = row, partition
    return sample


def _check_new(copy: Copy, column: EmbeddingColumn, sample: _Sample) -> None:
    """Compare a new field with what the service makes of the same texts."""
    texts = {key: str(row.get(column.source) or "") for key, row in sample.rows.items()}
    stored = _vectors(copy.target, column, sample)
    keys = [key for key, text in texts.items() if text and key in stored]
    if not keys:
        return
    embedded = wait_for_service(copy.patience, partial(_embed, column, [texts[key] for key in keys]))
    precision = _precision(column)
    minimum = min_agreement(column.config.form, precision, precision)
    for key, vector in zip(keys, embedded, strict=True):
        _check_pair(copy, column, key, (stored[key], read_vector(vector, column.config.form)), minimum)


def _check_computed(copy: Copy, column: EmbeddingColumn, sample: _Sample) -> None:
    """Compare a field that Milvus filled again with the vectors that the first collection has."""
    recorded = None if column.recorded is None else column.recorded.precision
    minimum = min_agreement(column.config.form, _precision(column), recorded)
    before, after = _vectors(copy.source, column, sample), _vectors(copy.target, column, sample)
    for key in before.keys() & after.keys():
        if has_content(before[key], column.config.form):
            _check_pair(copy, column, key, (before[key], after[key]), minimum)


def _embed(column: EmbeddingColumn, texts: Sequence[str]) -> list[Any]:
    return list(embed_as_written(column, texts))


def _precision(column: EmbeddingColumn) -> str | None:
    """Of the weights that the service has now. Raises ServiceError, EncoderNotFound."""
    info = fetch_info(column.service, environment_api_key()).encoder(column.config.encoder, column.service)
    return info.precision


def _vectors(reader: RowReader, column: EmbeddingColumn, sample: _Sample) -> dict[object, Numbers]:
    """The vectors of the sampled rows that are still as they were, by key."""
    complete = replace(reader, fields=(*reader.fields, column.column))
    vectors = dict[object, Numbers]()
    for partition in set(sample.partitions.values()):
        keys = [key for key, place in sample.partitions.items() if place == partition]
        for key, row in complete.rows(keys, partition).items():
            vector = row.pop(column.column)
            if reader.digest(row, partition) == reader.digest(sample.rows[key], partition):
                vectors[key] = read_vector(vector, column.config.form)
    return vectors


def _check_pair(
    copy: Copy, column: EmbeddingColumn, key: object, pair: tuple[Numbers, Numbers], minimum: float
) -> None:
    form = column.config.form
    agreed = agreement(*pair, form)
    if agreed < minimum:
        what = "equal bits of" if form == "binary" else "cosine to"
        raise _differs(
            copy,
            f"{column.column} of row {str(key)[:60]} has {agreed:.4f} {what} the vector of its text, where "
            f"{minimum} is the least",
        )


def _differs(copy: Copy, what: str) -> StoreRefused:
    return StoreRefused(
        f"the copy {copy.table.name} differs from the collection; nothing was switched",
        value=what,
        next_step="Run the command again with --restart, which copies all rows anew.",
    )
