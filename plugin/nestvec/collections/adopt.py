"""Recording the encoder of fields that were created without one, after their vectors were compared."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymilvus import MilvusClient

from nestvec.client.service_client import fetch_info
from nestvec.client.service_key import environment_api_key
from nestvec.collections.change.rows import ALL_ROWS, check_key
from nestvec.collections.pinning import pin_fingerprint
from nestvec.collections.vector_agreement import (
    Measure,
    agreement,
    has_content,
    measure,
    min_agreement,
    read_vector,
)
from nestvec.collections.written_vectors import embed_as_written
from nestvec.ingest.write.stored_keys import key_filter
from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.fingerprints import (
    PresentEncoder,
    RecordedFingerprint,
    describe_record,
    write_fingerprints,
)
from nestvec.milvus.lite import is_lite, load_lite
from nestvec_schemas.errors import ServiceRefused, SpecError, StoreRefused, nearest

SAMPLED_ROWS: Final = 100

_KEYS_PER_READ: Final = 4096
_ROWS_PER_READ: Final = 64


@dataclass(frozen=True)
class Adoption:
    """A field whose encoder was recorded."""

    column: str
    record: RecordedFingerprint
    rows: int
    """Rows that were compared."""

    measure: Measure
    agreement: float | None
    """The smallest cosine, or share of equal bits, of a stored vector and one that was made again; None if
    there was no row."""

    guarded: bool
    """Whether Milvus's own requests are compared from now on, too."""


def adopt_fields(
    client: MilvusClient,
    table: Table,
    names: Sequence[str] = (),
    *,
    sample: int = SAMPLED_ROWS,
    seed: int = 0,
) -> tuple[Adoption, ...]:
    """Record the service's encoder for fields, if it makes the vectors of ``sample`` rows again.

    Without ``names``, for all fields that have none recorded. Nothing is recorded if one field fails.
    Raises SpecError (no such field), StoreRefused (other vectors), ServiceRefused, ServiceUnreachable,
    EncoderNotFound, StoreError.
    """
    columns = _chosen(table, names)
    if not columns:
        return ()
    encoders = {column.column: _present(table, column) for column in columns}
    with milvus_errors(f"sampling the rows of {table.name}"):
        load_lite(client, table.name)
        keys = _sample_keys(client, table, sample, seed)
        rows = list(_read_rows(client, table, keys, columns))
    compared = {column.column: _compare(table, column, rows, encoders[column.column]) for column in columns}
    records = {column.column: encoders[column.column].record(column.config.encoder) for column in columns}
    guarded = {
        column.column: pin_fingerprint(client, table.name, column, encoders[column.column].fingerprint)
        for column in columns
    }
    write_fingerprints(client, table.name, records)
    return tuple(
        Adoption(
            column.column,
            records[column.column],
            rows=len(compared[column.column]),
            measure=measure(column.config.form),
            agreement=min(compared[column.column], default=None),
            guarded=guarded[column.column],
        )
        for column in columns
    )


def _chosen(table: Table, names: Sequence[str]) -> list[EmbeddingColumn]:
    """The fields to adopt. Raises SpecError."""
    if not names:
        return [column for column in table.embeddings if column.recorded is None]
    available = [column.column for column in table.embeddings]
    columns = []
    for name in dict.fromkeys(names):
        column = table.embedding(name)
        if column is None:
            raise SpecError(
                f"{table.name} has no field of this name whose vectors a nestvec service makes",
                value=name,
                next_step=f"Available: {', '.join(available) or 'none'}.{nearest(name, available)}",
            )
        columns.append(column)
    return columns


def _present(table: Table, column: EmbeddingColumn) -> PresentEncoder:
    """The encoder that the service has now. Raises ServiceRefused if it is not the Function's."""
    info = fetch_info(column.service, environment_api_key()).encoder(column.config.encoder, column.service)
    present = PresentEncoder.of_info(info)
    if present is None:
        raise ServiceRefused(
            f"the service at {column.service} does not say which encoder {column.config.encoder} is",
            next_step="Upgrade it to this version of nestvec.",
        )
    pinned = None if column.pinned is None else RecordedFingerprint(fingerprint=column.pinned)
    if pinned is not None and not present.makes(pinned):
        raise ServiceRefused(
            f"the service at {column.service} has another encoder {column.config.encoder!r} than the one "
            f"that Milvus requests for {table.name}.{column.column}",
            value=f"fingerprint {present}, not {describe_record(pinned)}",
            next_step="Serve the recorded encoder under this name.",
        )
    return present


def _sample_keys(client: MilvusClient, table: Table, sample: int, seed: int) -> list[Any]:
    """Keys of rows, each row as likely as another: what was written last may be of another encoder."""
    key, chosen, chance = table.primary.name, list[Any](), random.Random(seed)  # noqa: S311 - no secret
    count = 0
    for rows in _key_batches(client, table):
        for row in rows:
            count += 1
            if len(chosen) < sample:
                chosen.append(row[key])
            elif (place := chance.randrange(count)) < sample:
                chosen[place] = row[key]
    return chosen


def _key_batches(client: MilvusClient, table: Table) -> Iterator[Sequence[Mapping[str, Any]]]:
    key = table.primary.name
    if is_lite(client):
        # Not page by page: the last key of a page would be in the next one's filter, not escaped.
        yield client.query(table.name, filter="", limit=ALL_ROWS, output_fields=[key])
        return
    iterator = client.query_iterator(table.name, batch_size=_KEYS_PER_READ, output_fields=[key])
    try:
        while batch := iterator.next():
            check_key(batch[-1][key])
            yield batch
    finally:
        iterator.close()


def _read_rows(
    client: MilvusClient, table: Table, keys: Sequence[Any], columns: Sequence[EmbeddingColumn]
) -> Iterator[Mapping[str, Any]]:
    names = [table.primary.name, *(name for column in columns for name in (column.source, column.column))]
    for start in range(0, len(keys), _ROWS_PER_READ):
        part = list(keys[start : start + _ROWS_PER_READ])
        # Not client.get: pymilvus puts the keys into the filter as they are.
        yield from client.query(
            table.name, filter=key_filter(table.primary, part), output_fields=list(dict.fromkeys(names))
        )


def _compare(
    table: Table, column: EmbeddingColumn, rows: Iterable[Mapping[str, Any]], present: PresentEncoder
) -> list[float]:
    """How far the stored vectors of rows agree with those that the service makes. Raises StoreRefused."""
    form = column.config.form
    rows = list(rows)
    stored = [(row, read_vector(row.get(column.column), form)) for row in rows if row.get(column.source)]
    # Milvus Lite stores zeros for a text that is empty, and nestvec for an image that was not readable.
    usable = [(row, vector) for row, vector in stored if has_content(vector, form)]
    if not usable:
        if rows:
            raise StoreRefused(
                f"no sampled row of {table.name} has a text with a vector in {column.column}",
                value=f"{len(rows)} rows",
                next_step="Choose more rows with --sample.",
            )
        return []
    texts = [str(row[column.source]) for row, _ in usable]
    recomputed = embed_as_written(column, texts, present.fingerprint)
    agreements = [
        agreement(vector, read_vector(again, form), form)
        for (_, vector), again in zip(usable, recomputed, strict=True)
    ]
    minimum = min_agreement(form, present.precision)
    worst = min(range(len(agreements)), key=agreements.__getitem__)
    if agreements[worst] < minimum:
        differing = sum(agreement < minimum for agreement in agreements)
        key = str(usable[worst][0].get(table.primary.name))[:60]
        raise StoreRefused(
            f"the encoder {column.config.encoder!r} of the service at {column.service} did not make all the "
            f"vectors of {table.name}.{column.column}, and nothing was recorded",
            value=f"{differing} of {len(agreements)} sampled rows differ, row {key} most: {measure(form)} "
            f"{agreements[worst]:.3f}; fingerprint {present}",
            next_step="Serve the encoder that made them under this name, in the same precision, or embed "
            f"the rows again: nestvec collection embed {table.name} --field {column.source}.",
        )
    return agreements
