"""What a server changes in the collection itself: no row is copied for it.

A field with an embedding cannot be added so on any Milvus: a field that is added to a collection must be
nullable, and from 2.6.18 may be a vector, but the output of a Function must not be (``validator.go`` and
``addCollectionFieldTask``); 3.0 adds fields with a Function for BM25 and MinHash alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from pymilvus import MilvusClient

from nestvec.client.service_client import fetch_info
from nestvec.client.service_key import base_url, environment_api_key
from nestvec.collections.change.definition import Change
from nestvec.collections.changes import same_vectors
from nestvec.collections.moving import move_service
from nestvec.collections.pinning import can_pin
from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec.milvus.fingerprints import PresentEncoder, describe_record
from nestvec.milvus.server_version import read_version
from nestvec_schemas.errors import ServiceRefused
from nestvec_schemas.spec.collection_spec import CollectionSpec


def movable_columns(
    client: MilvusClient, table: Table, spec: CollectionSpec, replaced: Collection[str] = ()
) -> dict[str, str]:
    """The service that a spec declares for each column that differs in nothing else, and whose Function the
    server alters, or that nestvec fills.

    Columns in ``replaced`` are embedded anew: the encoder under their name is another one now.
    Raises StoreError.
    """
    services = {}
    callers = ("tei", "nestvec") if can_pin(read_version(client)) else ("nestvec",)
    for embedding in spec.embeddings:
        service = base_url(spec.service_of(embedding))
        for config in embedding.configs:
            column = table.embedding(embedding.column(config))
            if column is None or column.service == service or column.column in replaced:
                continue
            same = column.source == embedding.field and same_vectors(column, config)
            if same and column.endpoint.caller in callers:
                services[column.column] = service
    return services


def without_columns(change: Change, names: Collection[str]) -> Change | None:
    """The rest of a change to a spec once columns are moved; None if nothing is left."""
    add = tuple(spec for spec in change.add if spec.name not in names)
    drop = tuple(name for name in change.drop if name not in names)
    return replace(change, add=add, drop=drop) if add or drop else None


def move_columns(client: MilvusClient, table: Table, services: Mapping[str, str]) -> None:
    """Let Milvus request the vectors of columns from other services, which have the same encoders.

    Raises ServiceRefused for another encoder, before anything is altered; ServiceError, EncoderNotFound,
    StoreError.
    """
    for column in table.embeddings:
        if column.column in services:
            _check_encoder(column, services[column.column])
    for service in set(services.values()):
        columns = [column for column in table.embeddings if services.get(column.column) == service]
        move_service(client, table, columns, service)


def _check_encoder(column: EmbeddingColumn, service: str) -> None:
    encoder, recorded = column.config.encoder, column.made_by
    present = PresentEncoder.of_info(fetch_info(service, environment_api_key()).encoder(encoder, service))
    if recorded is not None and (present is None or not present.makes(recorded)):
        raise ServiceRefused(
            f"the service at {service} has another encoder {encoder!r} than the one that made "
            f"{column.column}",
            value=f"fingerprint {present or 'unknown'}, not {describe_record(recorded)}",
            next_step="Serve the recorded encoder there, or declare the new one in the spec under a name of "
            "its own.",
        )
