"""The fields that an upgrade embeds anew, and the change that does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pymilvus import MilvusClient

from nestvec.client.service_client import EncoderInfo, ServiceInfo
from nestvec.collections.change.definition import Change
from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.indexes import build_params
from nestvec_schemas.errors import SpecError, StoreInUse, nearest
from nestvec_schemas.spec.collection_spec import EmbeddingSpec


@dataclass(frozen=True)
class UpgradeRequest:
    """What is to be upgraded."""

    collection: str
    encoder: str
    """The new encoder."""

    field: str | None = None
    """A text field, whose vector fields are upgraded, or one vector field; None for the only encoder's."""

    dims: tuple[int, ...] = ()
    """Of the new vectors, in the order of the columns; empty for those of the present ones."""


@dataclass(frozen=True)
class UpgradeColumns:
    """The vector fields of one encoder, which another one replaces."""

    table: Table
    columns: tuple[EmbeddingColumn, ...]
    encoder: str
    """The new encoder."""

    dims: tuple[int | None, ...]
    """Of the new vectors, by column."""

    @property
    def old(self) -> str:
        """The name of the encoder that is replaced."""
        upgrade = self.columns[0].upgrade
        return self.columns[0].config.encoder if upgrade is None else upgrade.old

    @property
    def service(self) -> str:
        """The service that embeds."""
        return self.columns[0].service

    @property
    def source(self) -> str:
        """The field that is embedded."""
        return self.columns[0].source

    def change(self, client: MilvusClient) -> Change:
        """The change that embeds the columns anew, with indexes as they are. Raises StoreError."""
        specs = [self._spec(client, column, dim) for column, dim in zip(self.columns, self.dims, strict=True)]
        return Change(tuple(specs), tuple(column.column for column in self.columns))

    def _spec(self, client: MilvusClient, column: EmbeddingColumn, dim: int | None) -> EmbeddingSpec:
        caller = column.endpoint.caller
        values: dict[str, Any] = {
            "field": column.source,
            "encoder": self.encoder,
            "dims": () if dim is None else (dim,),
            "form": column.config.form,
            "top": column.config.top,
            "name": column.column,
            "service": column.service,
            "provider": caller if caller in ("cohere", "voyageai") else None,
            **described_index(client, self.table, column.column),
        }
        return EmbeddingSpec.model_validate(
            {key: value for key, value in values.items() if value not in (None, ())}
        )


def choose_columns(table: Table, request: UpgradeRequest) -> UpgradeColumns:
    """The columns of a request.

    Raises SpecError (no such field, several encoders, nothing to upgrade), StoreInUse for columns that are
    being upgraded to another encoder.
    """
    columns = _named(table, request.field)
    for column in columns:
        upgrade = column.upgrade
        if upgrade is not None and upgrade.encoder != request.encoder:
            raise StoreInUse(
                f"an upgrade of {request.collection}.{column.column} to {upgrade.encoder} has begun",
                value=f"{upgrade.started} on {upgrade.host}",
                next_step=f"Continue it: nestvec collection upgrade {request.collection} --encoder "
                f"{upgrade.encoder}; or end it with --abort.",
            )
    continued = [column for column in columns if column.upgrade is not None]
    chosen = continued or [column for column in columns if column.config.encoder != request.encoder]
    if not chosen:
        raise SpecError(
            f"the vectors of {request.collection} are those of this encoder already",
            value=request.encoder,
            next_step="If it was exported again under its name, embed with it: nestvec collection embed.",
        )
    kinds = {(column.config.encoder, column.service) for column in chosen}
    if len(kinds) > 1:
        names = ", ".join(f"{column.column} ({column.config.encoder})" for column in chosen)
        raise SpecError(
            f"the vectors of {request.collection} are of several encoders",
            value=names,
            next_step="Upgrade them one after the other: --field NAME.",
        )
    if request.dims and len(request.dims) != len(chosen):
        raise SpecError(
            f"there are {len(chosen)} columns to upgrade",
            value=f"--dims {','.join(map(str, request.dims))}",
            next_step=f"Give the dims of {', '.join(column.column for column in chosen)}, in this order.",
        )
    own = tuple(column.config.dim if column.config.form != "sparse" else None for column in chosen)
    recorded = tuple(None if column.upgrade is None else column.upgrade.dim for column in chosen)
    present = tuple(new or old for new, old in zip(recorded, own, strict=True))
    dims: tuple[int | None, ...] = request.dims or present
    return UpgradeColumns(table, tuple(chosen), request.encoder, dims)


def check_kinds(chosen: UpgradeColumns, info: ServiceInfo) -> EncoderInfo:
    """The new encoder. Raises EncoderNotFound, and SpecError for one of another kind than the columns'."""
    new = info.encoder(chosen.encoder, chosen.service)
    for column in chosen.columns:
        kind = "sparse" if column.config.form == "sparse" else "dense"
        if new.kind != kind:
            raise SpecError(
                f"{column.column} has {kind} vectors, and {chosen.encoder} is a {new.kind} encoder",
                value=f"from {chosen.old} to {chosen.encoder}",
                next_step=f"Name a {kind} encoder, or add a field: nestvec collection embed.",
            )
    return new


def _named(table: Table, field: str | None) -> list[EmbeddingColumn]:
    if field is None:
        if not table.embeddings:
            raise SpecError(
                "this collection has no field that a service embeds",
                value=table.name,
                next_step="Add one with the new encoder: nestvec collection embed.",
            )
        return list(table.embeddings)
    columns = [column for column in table.embeddings if field in (column.source, column.column)]
    if not columns:
        names = sorted({name for column in table.embeddings for name in (column.source, column.column)})
        raise SpecError(
            f"{table.name} has no field of this name that a service embeds",
            value=field,
            next_step=f"Available: {', '.join(names) or 'none'}.{nearest(field, names)}",
        )
    return columns


def described_index(client: MilvusClient, table: Table, column: str) -> dict[str, Any]:
    """The index of a column, as a spec has it; empty if it has none. Raises StoreError."""
    with milvus_errors(f"reading the index of {table.name}.{column}"):
        names = client.list_indexes(table.name, field_name=column)
        described = client.describe_index(table.name, names[0]) if names else None
    if not described:
        return {}
    return {
        "index": described.get("index_type") or None,
        "metric": described.get("metric_type") or None,
        "params": build_params(described),
    }
