"""Changes that were interrupted: here, or on another machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pymilvus import MilvusClient, MilvusException

from nestvec.collections.change.definition import Change, read_change
from nestvec.collections.change.design import CHANGE_PROPERTY
from nestvec.collections.change.journal import ChangeJournal, journal_path
from nestvec.collections.change.plan import Names
from nestvec.collections.change.switch import is_switched
from nestvec.ingest.target import client_target
from nestvec.ingest.write.names import leads_to
from nestvec.milvus.connection import milvus_errors
from nestvec_schemas.errors import StoreInUse, StoreRefused


@dataclass(frozen=True)
class Interrupted:
    """A change that is to continue."""

    names: Names
    change: Change

    def before(self, client: MilvusClient) -> str | None:
        """The collection of before the change; None if it is dropped already."""
        with milvus_errors(f"looking for collection {self.names.source}"):
            for name in dict.fromkeys((self.names.retired, self.names.source)):
                if client.has_collection(name):
                    present = str(client.describe_collection(name).get("collection_name") or name)
                    return None if present == self.names.target else present
        return None


def interrupted(client: MilvusClient, collection: str) -> Interrupted | None:
    """The change of a collection that was interrupted; None if there is none.

    Raises StoreInUse while another command carries it out.
    """
    if not journal_path(client_target(client), collection).exists():
        return None
    with open_change(client, collection) as journal:
        names, identity = journal.names, journal.identity
        return None if names is None or identity is None else Interrupted(names, read_change(identity))


def discard(client: MilvusClient, collection: str) -> None:
    """Drop what an interrupted change did. Raises StoreRefused if readers use it already."""
    if not journal_path(client_target(client), collection).exists():
        return
    with open_change(client, collection) as journal:
        names = journal.names
        if names is None:
            return
        if is_switched(client, names):
            raise StoreRefused(
                f"readers of {collection} use the new collection already",
                value=names.target,
                next_step="Complete the change first: its command does, without --restart.",
            )
        with milvus_errors(f"dropping collection {names.target}"):
            if client.has_collection(names.target) and read_mark(client, names.target) == journal.mark:
                client.drop_collection(names.target)
        journal.remove()


@contextmanager
def open_change(client: MilvusClient, collection: str) -> Iterator[ChangeJournal]:
    """The journal of changes of a collection, for one command at a time. Raises StoreInUse."""
    with ChangeJournal(journal_path(client_target(client), collection), collection) as journal:
        yield journal


def read_mark(client: MilvusClient, name: str) -> str:
    """What a collection that is being filled says of the command that fills it; empty if it says nothing."""
    properties = client.describe_collection(name).get("properties") or {}
    return str(properties.get(CHANGE_PROPERTY, ""))


def remove_mark(client: MilvusClient, name: str) -> None:
    """Remove what a collection that is filled says of its command. Raises MilvusException."""
    try:
        client.drop_collection_properties(name, [CHANGE_PROPERTY])
    except MilvusException:
        # Milvus before 2.5 removes no property.
        client.alter_collection_properties(name, {CHANGE_PROPERTY: ""})


def check_unfinished(client: MilvusClient, collection: str, existing: Sequence[str]) -> None:
    """Raise StoreInUse if a command on another machine has begun a change."""
    for name in existing:
        if not name.startswith(f"{collection}__"):
            continue
        with milvus_errors(f"describing collection {name}"):
            mark = read_mark(client, name)
        if not mark:
            continue
        # Whether the name leads there is read after the mark: one that is dropped by mistake has all rows.
        drop = f", or drop what it did: nestvec collection drop {name}."
        if leads_to(client, collection) == leads_to(client, name):
            drop = f". Readers use {name} already, which may have the only copy of the rows: do not drop it."
        raise StoreInUse(
            f"another change of {collection} has begun",
            value=f"{name}, {mark.partition(' ')[2]}",
            next_step=f"Continue it on that machine by the same command{drop}",
        )
