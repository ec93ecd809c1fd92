"""Which collection a name leads to, and the name that readers use of one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pymilvus import MilvusClient

from nestvec.milvus.connection import milvus_errors
from nestvec_schemas.errors import CollectionNotFound


def readers_name(name: str) -> str | None:
    """NAME, which readers use, of a collection NAME__1 that a change filled; None of another name."""
    match = re.fullmatch(r"(.+)__[0-9]+", name)
    return match[1] if match else None


def readers_names(client: MilvusClient, collections: Iterable[str]) -> dict[str, str]:
    """The name that readers use of each collection: of NAME__1 that a change filled, its alias NAME.

    Raises StoreError.
    """
    names = {}
    for name in collections:
        alias = readers_name(name)
        if alias is not None:
            with milvus_errors(f"listing the aliases of {name}"):
                aliases = client.list_aliases(name).get("aliases") or ()
            alias = alias if alias in aliases else None
        names[name] = alias or name
    return names


def resolve(client: MilvusClient, name: str) -> str:
    """The collection that a name or an alias leads to. Raises CollectionNotFound, StoreError."""
    with milvus_errors(f"looking for collection {name}"):
        if client.has_collection(name):
            return str(client.describe_collection(name).get("collection_name") or name)
    raise CollectionNotFound(
        "there is no collection of this name", value=name, next_step="See nestvec collection list."
    )


def leads_to(client: MilvusClient, name: str) -> str | None:
    """The collection that a name or an alias leads to; None if there is none. Raises StoreError."""
    try:
        return resolve(client, name)
    except CollectionNotFound:
        return None
