"""Which collection a name leads to, and how it comes to lead to another one."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress

from pymilvus import MilvusClient, MilvusException

from nestvec.collections.change.plan import Names
from nestvec.ingest.write.names import readers_name
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.lite import is_lite, write_alone
from nestvec_schemas.errors import StoreRefused


def check_name(client: MilvusClient, name: str) -> None:
    """Raise StoreRefused for the name of a collection that readers use by an alias of the plain name."""
    alias = readers_name(name)
    with milvus_errors(f"listing the aliases of {name}"):
        aliases = client.list_aliases(name).get("aliases") or [] if alias else []
    if alias in aliases:
        raise StoreRefused(
            f"readers use this collection as {alias}, which is its alias",
            value=name,
            next_step=f"Use the name {alias}.",
        )


def existing_names(client: MilvusClient) -> list[str]:
    """The names of all collections and aliases. Raises StoreError."""
    with milvus_errors("listing the collections"):
        collections = [str(name) for name in client.list_collections()]
        aliases = [alias for name in collections for alias in client.list_aliases(name).get("aliases") or ()]
    return [*collections, *map(str, aliases)]


def move_aliases(client: MilvusClient, source: str, target: str, last: str = "") -> None:
    """Let every alias of a collection lead to another one, ``last`` after all others: as long as it does not,
    the same can be done again. Raises MilvusException."""
    aliases = map(str, client.list_aliases(source).get("aliases") or ())
    for alias in sorted(aliases, key=lambda alias: alias == last):
        client.alter_alias(target, alias)


def is_switched(client: MilvusClient, names: Names) -> bool:
    """Whether the name leads to the new collection; a switch that was interrupted half-way is completed."""
    with milvus_errors(f"looking for collection {names.collection}"):
        if not client.has_collection(names.collection):
            if names.is_alias or not client.has_collection(names.retired):
                return False
            # Renamed, and then interrupted: readers have waited since.
            client.create_alias(names.target, names.collection)
        described = client.describe_collection(names.collection)
    return str(described.get("collection_name")) == names.target


def switch(client: MilvusClient, names: Names) -> None:
    """Let the name lead to the new collection.

    An alias moves at once. A collection is renamed first, and its name becomes an alias a moment later.
    Raises StoreError; the name leads where it did then.
    """
    with _no_writes(client, names), milvus_errors(f"switching {names.collection} to {names.target}"):
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


def _no_writes(client: MilvusClient, names: Names) -> AbstractContextManager[None]:
    """No write to a Milvus Lite of this process is under way at the switch, nor fails for it."""
    return write_alone(names.target) if is_lite(client) else nullcontext()
