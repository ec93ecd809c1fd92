"""What a collection says of an upgrade that has begun, and what its Functions call meanwhile."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pymilvus import DataType, MilvusClient

from nestvec.collections.change.interrupted import discard, interrupted, read_mark
from nestvec.collections.change.journal import ChangeJournal, journal_path
from nestvec.collections.change.switch import existing_names, is_switched
from nestvec.collections.pinning import alter_params, can_pin
from nestvec.collections.upgrade.columns import UpgradeColumns
from nestvec.ingest.target import client_target
from nestvec.milvus.catalog import EmbeddingColumn, Table, read_table
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.fingerprints import RecordedUpgrade, upgrade_property, utc_now
from nestvec.milvus.lite import count_rows, is_lite, is_loaded
from nestvec.milvus.registration import EmbeddingOptions, add_embedding
from nestvec.milvus.server_version import read_version
from nestvec_schemas.errors import SpecError, StoreRefused


@dataclass(frozen=True)
class UpgradeStatus:
    """An upgrade that has begun."""

    columns: tuple[EmbeddingColumn, ...]
    target: str | None
    """The collection that is being filled; None before."""

    rows: int | None
    """Rows of that one; None if they cannot be counted."""

    total: int | None
    """Rows of the collection."""

    @property
    def record(self) -> RecordedUpgrade:
        """What is recorded of it."""
        return next(column.upgrade for column in self.columns if column.upgrade is not None)

    def as_json(self) -> dict[str, Any]:
        """The status as data."""
        return {
            "columns": [column.column for column in self.columns],
            "old": self.record.old,
            "encoder": self.record.encoder,
            "bridge": self.record.bridge,
            "milvus_uses_bridge": self.record.params is not None,
            "started": self.record.started,
            "host": self.record.host,
            "phase": "bridged" if self.target is None else "embedding",
            "beside": self.target,
            "rows": self.rows,
            "total": self.total,
        }

    def line(self) -> str:
        """The status as a sentence."""
        record, names = self.record, ", ".join(column.column for column in self.columns)
        by = f"queries by the bridge {record.bridge}" if record.bridge else f"queries by {record.old}"
        start = f"{names}: upgrade from {record.old} to {record.encoder} since {record.started}, {by}"
        if self.target is None:
            return f"{start}; no row is embedded anew yet."
        rows = "not counted" if self.rows is None else f"{self.rows:,}"
        total = "" if self.total is None else f" of {self.total:,}"
        return f"{start}; {rows}{total} rows are embedded anew, in {self.target}."


@contextmanager
def upgrade_lock(client: MilvusClient, collection: str) -> Iterator[None]:
    """Let one command at a time upgrade a collection. Raises StoreInUse."""
    with ChangeJournal(journal_path(client_target(client), f"{collection}.upgrade"), collection):
        yield


def record_upgrade(
    client: MilvusClient, chosen: UpgradeColumns, bridge: str | None, target: str | None = None
) -> None:
    """Record that an upgrade has begun: nestvec embeds queries by the bridge from now on.

    Where the server can alter a Function, Milvus's own searches, and the rows that are written, use it too.
    Raises StoreError, ServiceError, EncoderError.
    """
    table = chosen.table
    alters = bridge is not None and can_pin(read_version(client))
    described = client.describe_collection(table.name) if alters else {}
    properties = dict[str, str]()
    for column, dim in zip(chosen.columns, chosen.dims, strict=True):
        altered = alters and column.endpoint.caller == "tei"
        record = RecordedUpgrade(
            old=column.config.encoder,
            encoder=chosen.encoder,
            dim=dim,
            bridge=bridge,
            target=target,
            started=utc_now(),
            host=socket.gethostname(),
            params=_params(described, column.column) if altered else None,
        )
        properties[upgrade_property(column.column)] = record.model_dump_json(exclude_none=True)
    # In one request: of some of the columns only, the same command would continue with these alone.
    with milvus_errors(f"recording the upgrade of {table.name}"):
        client.alter_collection_properties(table.name, properties)
    alter_recorded(client, table.name)


def record_target(client: MilvusClient, chosen: UpgradeColumns, target: str) -> None:
    """Record where the vectors of an upgrade that continues are made: another change may have taken the name
    that it began with. Raises StoreError."""
    properties = {
        upgrade_property(column.column): column.upgrade.model_copy(update={"target": target}).model_dump_json(
            exclude_none=True
        )
        for column in chosen.columns
        if column.upgrade is not None and column.upgrade.target != target
    }
    if properties:
        with milvus_errors(f"recording the upgrade of {chosen.table.name}"):
            client.alter_collection_properties(chosen.table.name, properties)


def alter_recorded(client: MilvusClient, name: str) -> None:
    """Have the Functions of a collection call the bridge, where its record says that they do; those that do
    already remain. The service must serve the bridge. Raises StoreError, ServiceError, EncoderError."""
    for column in columns_to_alter(read_table(client, name)):
        params = _bridge_params(client, column, column.query_bridge or "")
        alter_params(client, name, column.column, lambda before, new=params: new)  # type: ignore[misc]


def columns_to_alter(table: Table) -> list[EmbeddingColumn]:
    """The columns whose record says that their Function calls the bridge, which it does not yet: the command
    that recorded it was interrupted."""
    return [
        column
        for column in table.embeddings
        if column.upgrade is not None and column.upgrade.params is not None and column.query_bridge
    ]


def forget_upgrade(client: MilvusClient, name: str) -> None:
    """Remove what a collection says of upgrades, and have its Functions call what they did before.

    Raises StoreError.
    """
    for column in read_table(client, name).embeddings:
        if column.upgrade is None:
            continue
        params = column.upgrade.params
        if params is not None:
            alter_params(client, name, column.column, lambda before, old=params: dict(old))  # type: ignore[misc]
        with milvus_errors(f"ending the upgrade of {name}.{column.column}"):
            client.drop_collection_properties(name, [upgrade_property(column.column)])


def read_status(client: MilvusClient, collection: str) -> UpgradeStatus | None:
    """The upgrade of a collection that has begun; None if none has. Raises CollectionNotFound, StoreError."""
    table = read_table(client, collection)
    columns = tuple(column for column in table.embeddings if column.upgrade is not None)
    if not columns:
        return None
    target = _target(client, collection)
    rows = None if target is None else _rows(client, target)
    return UpgradeStatus(columns, target, rows, _rows(client, table.name))


def abort_upgrade(client: MilvusClient, collection: str) -> UpgradeStatus:
    """End an upgrade: queries are embedded by the encoder of before, and what was filled is dropped.

    Returns what it was. Raises SpecError if none has begun, StoreRefused once readers use the new
    collection, StoreInUse while a command carries it out.
    """
    with upgrade_lock(client, collection):
        recorded = interrupted(client, collection)
        if recorded is not None and is_switched(client, recorded.names):
            raise StoreRefused(
                f"readers of {collection} use the new vectors already",
                value=recorded.names.target,
                next_step="Complete it: the same command without --abort does.",
            )
        status = read_status(client, collection)
        if status is None:
            raise SpecError(f"no upgrade of {collection} has begun", next_step="See nestvec collection show.")
        discard(client, collection)
        forget_upgrade(client, read_table(client, collection).name)
    return status


def _target(client: MilvusClient, collection: str) -> str | None:
    """The collection that a change fills; None if none is being filled."""
    for name in existing_names(client):
        if not name.startswith(f"{collection}__"):
            continue
        with milvus_errors(f"describing collection {name}"):
            if client.has_collection(name) and read_mark(client, name):
                return name
    return None


def _rows(client: MilvusClient, name: str) -> int | None:
    with milvus_errors(f"counting the rows of {name}"):
        countable = is_lite(client) or is_loaded(client, name)
    return count_rows(client, name) if countable else None


def _params(described: dict[str, Any], column: str) -> dict[str, str | int]:
    """The params of the Function that fills a column."""
    functions: Sequence[dict[str, Any]] = described.get("functions") or ()
    return next(dict(item["params"]) for item in functions if column in item["output_field_names"])


def _bridge_params(client: MilvusClient, column: EmbeddingColumn, bridge: str) -> dict[str, Any]:
    """The params of a Function that fills a column by a bridge."""
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field(column.source, DataType.VARCHAR, max_length=65_535)
    config = replace(column.config, encoder=bridge, dim=None)
    options = EmbeddingOptions(column.column, chunk=column.endpoint.chunk)
    dims = () if column.config.dim is None else (column.config.dim,)
    add_embedding(
        schema, column.source, encoder=config, dims=dims, service=column.service, client=client,
        options=options,
    )  # fmt: skip
    return dict(schema.functions[0].params)
