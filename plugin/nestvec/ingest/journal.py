"""The journal of an ingest: how far a file has come, so that the same command goes on from there.

It stands beside the file while the ingest is under way and is removed at its end.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from nestvec_schemas.errors import FileUnreadable, IngestError, JournalMismatch

_HASHED_BYTES = 1 << 20


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IngestIdentity(_Record):
    """Which ingest it is: the file as it was, where its rows go, and where the rejected ones go."""

    size: int
    mtime_ns: int
    head_sha256: str
    format: str
    target: str
    collection: str
    rejects: str


class Progress(_Record):
    """How far it has come: rows read, of them inserted and rejected, and the bytes of the rejects file."""

    read: int = 0
    inserted: int = 0
    rejected: int = 0
    rejects_bytes: int = 0


class PendingBatch(_Record):
    """A batch of ``rows`` on its way to a collection that held ``count`` rows; ``then`` is where it leads."""

    count: int
    rows: int
    then: Progress


class Journal(_Record):
    """What the file holds. ``pending`` is there only where Milvus makes the keys."""

    identity: IngestIdentity
    reached: Progress = Progress()
    pending: PendingBatch | None = None


def identify(path: Path, *, format: str, target: str, collection: str, rejects: Path) -> IngestIdentity:
    """The identity of an ingest of ``path``: size, time of change and SHA-256 of the first MiB.

    Raises FileUnreadable.
    """
    try:
        stat = path.stat()
        with path.open("rb") as file:
            head = hashlib.sha256(file.read(_HASHED_BYTES)).hexdigest()
    except OSError as error:
        raise FileUnreadable(
            f"{path} cannot be read", value=error.strerror or str(error), next_step="Check the path."
        ) from error
    return IngestIdentity(
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        head_sha256=head,
        format=format,
        target=target,
        collection=collection,
        rejects=str(rejects.absolute()),
    )


def journal_path(source: Path, collection: str) -> Path:
    """Where the journal of ``source`` into ``collection`` stands: beside the file."""
    return source.with_name(f"{source.name}.{collection}.ingest.json")


def resume_journal(path: Path, identity: IngestIdentity) -> Journal:
    """The journal to go on from, or a new one. Raises JournalMismatch where it is of another ingest."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Journal(identity=identity)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        journal = Journal.model_validate_json(data)
    except ValidationError as error:
        raise JournalMismatch(
            f"the journal {path} is damaged",
            value=error.errors()[0]["msg"],
            next_step="Start from the first row with --restart.",
        ) from error
    if journal == Journal(identity=journal.identity):
        return Journal(identity=identity)
    before, now = journal.identity.model_dump(), identity.model_dump()
    for key, what in _CHANGES.items():
        if before[key] != now[key]:
            raise JournalMismatch(
                f"an ingest was interrupted, and {what} since",
                value=f"{before[key]}, now {now[key]}",
                next_step="Put it back to go on after the "
                f"{journal.reached.read} rows that are done, or start from the first row with --restart.",
            )
    return journal


_CHANGES = {
    "target": "--uri has changed",
    "collection": "the collection has changed",
    "format": "--format has changed",
    "rejects": "--rejects has changed",
    "size": "the file's size has changed",
    "head_sha256": "the file's first rows have changed",
    "mtime_ns": "the file has been written to",
}


def settle_pending(journal: Journal, count: int) -> Journal:
    """The journal with its pending batch settled by ``count``, the rows that the collection holds now.

    Raises JournalMismatch where the count says neither that the batch landed nor that it did not.
    """
    pending = journal.pending
    if pending is None:
        if count == 0 and journal.reached.inserted:
            raise JournalMismatch(
                "the collection is empty, though the interrupted ingest had filled it",
                value=f"{journal.reached.inserted} rows before",
                next_step="Start from the first row with --restart.",
            )
        return journal
    if count == pending.count:
        return journal.model_copy(update={"pending": None})
    if count == pending.count + pending.rows:
        return journal.model_copy(update={"pending": None, "reached": pending.then})
    raise JournalMismatch(
        "it cannot be told whether the interrupted batch is in the collection, as something else wrote to it",
        value=f"{count} rows, where {pending.count} or {pending.count + pending.rows} were expected",
        next_step="Drop and create the collection, then start from the first row with --restart.",
    )


def write_journal(path: Path, journal: Journal) -> None:
    """Replace the journal in one step. Raises IngestError where its folder cannot be written to."""
    new = path.with_name(path.name + ".new")
    try:
        with new.open("wb") as file:
            file.write(journal.model_dump_json().encode())
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def remove_journal(path: Path) -> None:
    """Remove the journal, if it is there. Raises IngestError where that is not allowed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> IngestError:
    return IngestError(
        f"the journal {path} cannot be written",
        value=error.strerror or str(error),
        next_step="Copy the file to a folder that you may write to, and ingest it from there.",
    )
