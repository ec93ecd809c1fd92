"""Which collection a name leads to, and how it comes to lead to another one."""

from __future__ import annotations

import re
from contextlib import suppress

from pymilvus import MilvusClient, MilvusException

from nestvec.collections.change.design import PREVIOUS_PROPERTY
from nestvec.collections.change.plan import Names
from nestvec.milvus.connection import milvus_errors
from nestvec_schemas.errors import CollectionNotFound, StoreRefused


def resolve(client: MilvusClient, name: str) -> str:
    """The collection that a name or an alias leads to. Raises CollectionNotFound, StoreError."""
    with milvus_errors(f"looking for collection {name}"):
        if client.has_collection(name):
            return str(client.describe_collection(name).get("collection_name") or name)
    raise CollectionNotFound(
        "there is no collection of this name", value=name, next_step="See nestvec collection list."
    )


def check_name(client: MilvusClient, name: str) -> None:
    """Raise StoreRefused for the name of a collection that readers use by an alias of the plain name."""
    match = re.fullmatch(r"(.+)__[0-9]+", name)
    with milvus_errors(f"listing the aliases of {name}"):
        aliases = client.list_aliases(name).get("aliases") or [] if match else []
    if match and match[1] in aliases:
        raise StoreRefused(
            f"readers use this collection as {match[1]}, which is its alias",
            value=name,
            next_step=f"Give the name {match[1]}.",
        )


def existing_names(client: MilvusClient) -> list[str]:
    """The names of all collections and aliases. Raises StoreError."""
    with milvus_errors("listing the collections"):
        collections = [str(name) for name in client.list_collections()]
        aliases = [alias for name in collections for alias in client.list_aliases(name).get("aliases") or ()]
    return [*collections, *map(str, aliases)]


def is_switched(client: MilvusClient, names: Names) -> bool:
    """Whether the name leads to the new collection; a switch that was interrupted half-way is completed."""
    with milvus_errors(f"looking for collection {names.collection}"):
        if not client.has_collection(names.collection):
            if not client.has_collection(names.retired):
                return False
            # Renamed, and then interrupted: readers have waited since.
            client.create_alias(names.target, names.collection)
        described = client.describe_collection(names.collection)
    return str(described.get("collection_name")) == names.target


def switch(client: MilvusClient, names: Names) -> None:
    """Let the name, and every other alias of the collection of before, lead to the new one.

    An alias moves at once. A collection is renamed first, and its name becomes an alias a moment later.
    Raises StoreError; the name leads where it did then.
    """
    with milvus_errors(f"switching {names.collection} to {names.target}"):
        aliases = [str(alias) for alias in client.list_aliases(names.source).get("aliases") or ()]
        if names.is_alias:
            client.alter_alias(names.target, names.collection)
        else:
            # A rename waits until what was written is on the disk: before, so that it does not then.
            client.flush(names.source)
            client.rename_collection(names.source, names.retired)
            try:
                client.create_alias(names.target, names.collection)
            except MilvusException:
                with suppress(MilvusException):
                    client.rename_collection(names.retired, names.source)
                raise
        for alias in aliases:
            if alias != names.collection:
                client.alter_alias(names.target, alias)


def rollback(client: MilvusClient, name: str) -> tuple[str, str]:
    """Let a name lead to the collection of before its last change, which ``--keep-old`` kept.

    Returns the collection that it led to, and the one that it leads to now; a second rollback returns.
    Raises CollectionNotFound, StoreRefused.
    """
    present = resolve(client, name)
    with milvus_errors(f"describing collection {present}"):
        properties = client.describe_collection(present).get("properties") or {}
    previous = str(properties.get(PREVIOUS_PROPERTY, ""))
    with milvus_errors(f"looking for collection {previous}"):
        exists = bool(previous) and previous != present and client.has_collection(previous)
    if not exists or present == name:
        raise StoreRefused(
            "the collection of before the last change was not kept",
            value=name,
            next_step="Change collections with --keep-old to be able to roll back.",
        )
    with milvus_errors(f"switching {name} to {previous}"):
        client.load_collection(previous)
        client.alter_collection_properties(previous, {PREVIOUS_PROPERTY: present})
        client.alter_alias(previous, name)
        for alias in client.list_aliases(present).get("aliases") or ():
            client.alter_alias(previous, alias)
    return present, previous
