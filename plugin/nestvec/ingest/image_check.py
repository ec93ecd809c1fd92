"""Rows whose image cannot be fetched or read: found before a request to Milvus contains them with all
others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import fetch_info, find_unreadable
from nestvec.client.service_key import environment_api_key
from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec_schemas.errors import RowRejected, ServiceError


def image_columns(table: Table) -> tuple[EmbeddingColumn, ...]:
    """The embeddings of ``table`` whose encoders read images, one for each source and encoder.

    None if the service does not respond to this machine: Milvus may reach it anyway.
    """
    distinct = {(column.source, column.service, column.encoder_name): column for column in table.embeddings}
    encoders = {service: frozenset(_image_encoders(service)) for service in table.services}
    return tuple(column for column in distinct.values() if column.config.encoder in encoders[column.service])


def _image_encoders(service: str) -> Iterator[str]:
    try:
        info = fetch_info(service, environment_api_key())
    except ServiceError:
        return
    yield from (name for name, encoder in info.encoders.items() if encoder.reads_images)


def unreadable_rows(
    embeddings: Sequence[EmbeddingColumn], rows: Sequence[Mapping[str, object]]
) -> dict[int, RowRejected]:
    """The rows that cannot be embedded, by position, and why; the service embeds and caches all others.

    Raises ServiceUnreachable, ServiceRefused.
    """
    reasons: dict[int, RowRejected] = {}
    for column in embeddings:
        positions = [at for at, row in enumerate(rows) if column.source in row and at not in reasons]
        if not positions:
            continue
        texts = [str(rows[position][column.source]) for position in positions]
        request = EmbeddingRequest(column.service, column.config, column.endpoint.sends_prompts)
        failures = find_unreadable(request, texts, environment_api_key())
        for index, error in failures.items():
            cause = f"column {column.source}: {error.cause}"
            reasons[positions[index]] = error.reworded(cause=cause)
    return reasons
