"""A name leads to the collection of before its last change again."""

from __future__ import annotations

from pymilvus import MilvusClient

from nestvec.collections.change.design import PREVIOUS_PROPERTY
from nestvec.collections.change.interrupted import check_unfinished, open_change
from nestvec.collections.change.switch import existing_names, move_aliases
from nestvec.ingest.write.names import leads_to, resolve
from nestvec.ingest.write.writable import mark_retired, unmark_retired
from nestvec.milvus.connection import milvus_errors
from nestvec_schemas.errors import JournalMismatch, StoreRefused


def rollback(client: MilvusClient, name: str) -> tuple[str, str]:
    """Let a name lead to the collection of before its last change, which ``--keep-old`` kept.

    Returns the collection that it led to, and the one that it leads to now; a second rollback returns.
    Raises CollectionNotFound, StoreRefused; StoreInUse, JournalMismatch during another change.
    """
    with open_change(client, name) as journal:
        if journal.names is not None:
            raise JournalMismatch(
                f"a change of {name} was interrupted",
                value=journal.names.target,
                next_step="Complete it by its command, or drop what it did with --restart; then roll back.",
            )
        check_unfinished(client, name, existing_names(client))
        return _roll_back(client, name)


def kept_collection(client: MilvusClient, name: str) -> str | None:
    """The collection of before the last change, if it was kept. Raises StoreError."""
    present = leads_to(client, name)
    if present is None:
        return None
    with milvus_errors(f"describing collection {present}"):
        properties = client.describe_collection(present).get("properties") or {}
        previous = str(properties.get(PREVIOUS_PROPERTY, ""))
        exists = bool(previous) and previous != present and client.has_collection(previous)
    return previous if exists else None


def _roll_back(client: MilvusClient, name: str) -> tuple[str, str]:
    present, previous = resolve(client, name), kept_collection(client, name)
    if previous is None or present == name:
        raise StoreRefused(
            "the previous collection was not kept",
            value=name,
            next_step="Change collections with --keep-old to be able to roll back.",
        )
    with milvus_errors(f"switching {name} to {previous}"):
        client.load_collection(previous)
        client.alter_collection_properties(previous, {PREVIOUS_PROPERTY: present})
        mark_retired(client, present, name)
        move_aliases(client, present, previous, last=name)
        # Until the name leads to another collection, a mark says nothing.
        unmark_retired(client, previous)
    return present, previous
