"""That a collection has the rows of another, and vectors of its own texts, before readers use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from nestvec.collections.change.copy import Copy
from nestvec.collections.change.rows import Row, digest
from nestvec.collections.written_vectors import embed_as_written
from nestvec.ingest.write.patience import wait_for_service
from nestvec.milvus.catalog import EmbeddingColumn
from nestvec_schemas.errors import StoreRefused

SAMPLED_ROWS: Final = 64

MIN_COSINE: Final = 0.99
"""Of a stored vector and one that is made again: batches of other sizes differ in the last digits, and int8
engines in more than those."""


def verify_copy(copy: Copy, new: Sequence[EmbeddingColumn]) -> None:
    """Compare counts, sampled rows, and the vectors of the fields that are new.

    Rows that are being written meanwhile are not compared. Raises StoreRefused, with the row.
    """
    _check_counts(copy)
    keys = copy.journal.sample(SAMPLED_ROWS)
    recorded = copy.journal.digests(keys)
    compared: dict[object, Row] = {}
    for partition in copy.source.partitions():
        before, after = copy.source.rows(keys, partition), copy.target.rows(keys, partition)
        for key, row in before.items():
            if digest(row, partition) != recorded.get(key):
                continue  # changed since: a later pass copies it
            if key not in after or digest(after[key], partition) != recorded[key]:
                raise _differs(copy, f"row {str(key)[:60]} differs")
            compared[key] = row
    for column in new:
        if column.config.form == "float":
            _check_vectors(copy, column, compared)


def _check_counts(copy: Copy) -> None:
    recorded, rows, copied = copy.journal.count(), copy.source.count(), copy.target.count()
    if copied != recorded:
        raise _differs(copy, f"{copied} rows, where {recorded} were copied")
    # A row more may have been written by now, but a key that several rows have is copied once only.
    if rows > recorded and not copy.pass_over() and copy.source.count() > copy.journal.count():
        raise StoreRefused(
            f"keys of {copy.source.collection} are not unique",
            value=f"{rows} rows, {recorded} keys",
            next_step="Delete the rows that have the key of another one.",
        )


def _check_vectors(copy: Copy, column: EmbeddingColumn, rows: dict[object, Row]) -> None:
    texts = {key: str(row.get(column.source) or "") for key, row in rows.items()}
    keys = [key for key, text in texts.items() if text]
    if not keys:
        return
    reader = replace(copy.target, fields=(column.column,))
    stored = {key: row[column.column] for key, row in reader.rows(keys).items()}
    keys = [key for key in keys if key in stored]
    computed = wait_for_service(
        copy.patience, partial(embed_as_written, column, [texts[key] for key in keys])
    )
    for key, vector in zip(keys, computed, strict=True):
        present, vector = np.asarray(stored[key], np.float32), np.asarray(vector, np.float32)
        cosine = float(present @ vector / max(float(np.linalg.norm(present) * np.linalg.norm(vector)), 1e-12))
        if cosine < MIN_COSINE:
            raise _differs(
                copy, f"{column.column} of row {str(key)[:60]} has cosine {cosine:.3f} to its text's vector"
            )


def _differs(copy: Copy, what: str) -> StoreRefused:
    return StoreRefused(
        f"the copy {copy.table.name} differs from the collection; nothing was switched",
        value=what,
        next_step="Run the command again with --restart, which copies all rows anew.",
    )
