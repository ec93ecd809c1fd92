"""A service that has another address now: where a collection's fields have it, as far as a server lets it be
changed."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from pymilvus import MilvusClient

from nestvec.client.service_key import base_url
from nestvec.collections.pinning import alter_params, can_pin
from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.providers import FunctionParams, note_property, write_note
from nestvec.milvus.server_version import THREE, ServerVersion, read_version
from nestvec_schemas.errors import SpecError, StoreInUse, StoreRefused

_OWN_ADDRESS = ("tei", "openai")
"""Callers whose Function has the service's address."""


def columns_to_move(table: Table, service: str, old: str | None = None) -> tuple[EmbeddingColumn, ...]:
    """The fields that another address than ``service`` is recorded for, ``old`` if it is given.

    Raises SpecError if the fields are of several services and ``old`` is None, or none is of ``old``.
    """
    columns = [column for column in table.embeddings if column.service != base_url(service)]
    services = sorted({column.service for column in columns})
    if old is None and len(services) > 1:
        raise SpecError(
            f"the fields of {table.name} are of several services",
            value=", ".join(services),
            next_step="Name the one that has moved: --from URL.",
        )
    if old is None:
        return tuple(columns)
    moved = tuple(column for column in columns if column.service == base_url(old))
    if not moved:
        raise SpecError(
            f"no field of {table.name} is of this service",
            value=old,
            next_step=f"Services: {', '.join(table.services) or 'none'}.",
        )
    return moved


def check_movable(table: Table, columns: Sequence[EmbeddingColumn], version: ServerVersion) -> None:
    """Raise StoreRefused if the server does not let the address in a Function be changed, StoreInUse for
    fields whose encoder is being upgraded: the address of before is in what an abort restores, and in the
    collection that is filled."""
    upgraded = [column.column for column in columns if column.upgrade is not None]
    if upgraded:
        raise StoreInUse(
            f"an upgrade of {table.name} has begun, which has the address of before",
            value=", ".join(upgraded),
            next_step="Complete it by its command, or end it: nestvec collection upgrade --abort.",
        )
    fixed = [column.column for column in columns if column.endpoint.caller in _OWN_ADDRESS]
    if not fixed or can_pin(version):
        return
    if version.lite:
        who = "Milvus Lite does not alter a Function"
    elif version.at_least(THREE):
        who = "Milvus 3.0 does not alter the endpoint of a Function"
    else:
        who = "only Milvus 2.6 from 2.6.8 alters the endpoint of a Function"
    raise StoreRefused(
        who,
        value=f"{table.name}: {', '.join(fixed)}",
        next_step=f"Let the service answer at {columns[0].service}, best by a host name of its own; or embed "
        "the rows again: nestvec collection alter SPEC.yaml, with the new address as the spec's service.",
    )


def move_service(
    client: MilvusClient, table: Table, columns: Sequence[EmbeddingColumn], service: str
) -> None:
    """Have fields embedded by the service at another address. No row changes.

    If it is interrupted, the same call moves the rest. Raises StoreRefused where the server does not allow
    it, StoreInUse during an upgrade, StoreError.
    """
    check_movable(table, columns, read_version(client))
    address = base_url(service)
    for column in columns:
        if column.endpoint.caller in _OWN_ADDRESS:
            alter_params(client, table.name, column.column, lambda params: _moved(params, address))
            continue
        # The note in a field's description cannot be changed: a property hides it.
        note = write_note(address, column.config, column.source)
        with milvus_errors(f"recording the service of {table.name}.{column.column}"):
            client.alter_collection_properties(table.name, {note_property(column.column): note})


def _moved(params: FunctionParams, address: str) -> FunctionParams:
    """The params of a Function with another address; its path and its query string remain."""
    key = "endpoint" if "endpoint" in params else "base_url"
    before, now = urlsplit(str(params[key])), urlsplit(address)
    return {**params, key: before._replace(scheme=now.scheme, netloc=now.netloc).geturl()}
