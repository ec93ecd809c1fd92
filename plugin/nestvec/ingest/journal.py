"""The journal of an ingest: the progress of a file, from which the same command continues.

It is next to the file during the ingest, and removed at its end.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from nestvec.datasets.readers import RowSource
from nestvec.ingest.content import ContentHash, has_rows, hash_prefix
from nestvec.ingest.target import RecordedTarget
from nestvec_schemas.errors import (
    CollectionRetired,
    FileUnreadable,
    IngestError,
    JournalMismatch,
    NestvecError,
)

_HASHED_BYTES = 1 << 20


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IngestIdentity(_Record):
    """What identifies an ingest: the file as it was, and where its rows and the rejected ones go."""

    size: int
    mtime_ns: int
    head_sha256: str
    format: str
    reading: str = ""
    """How the file is read, apart from its format; empty if by the defaults."""

    target: RecordedTarget
    collection: str
    encoders: str = ""
    """The recorded fingerprints of the encoders that make the collection's vectors, by column; empty if it
    records none."""

    rejects: str


class Progress(_Record):
    """Rows read, inserted and rejected, and the bytes of the rejects file."""

    read: int = 0
    inserted: int = 0
    rejected: int = 0
    rejects_bytes: int = 0

    rows_sha256: str = ""
    """The digest of the rows read, in a format whose files may become longer."""

    collection_id: int = 0
    """Milvus's id of the collection that has the rows; 0 if it has none, as in Milvus Lite."""

    last_keys: tuple[int | str, ...] = ()
    """Keys of some of the rows inserted last; empty if a Milvus server generates them."""


class PendingBatch(_Record):
    """A batch that is being written."""

    count: int
    """Rows of the collection before it."""

    rows: int
    """Rows of the batch."""

    then: Progress
    """The progress with the batch."""


class Journal(_Record):
    """The content of a journal."""

    identity: IngestIdentity
    reached: Progress = Progress()
    pending: PendingBatch | None = None
    """Only if a Milvus server generates the keys."""

    first_key: int | None = None
    """The key of the file's first row, if nestvec makes the keys that Milvus Lite would generate."""

    content: ContentHash = ContentHash()
    """The hash of the file, as far as it was computed."""


def identify(
    path: Path,
    *,
    format: str,
    reading: str = "",
    target: str,
    collection: str,
    encoders: str = "",
    rejects: Path,
) -> IngestIdentity:
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
        reading=reading,
        target=target,
        collection=collection,
        encoders=encoders,
        rejects=str(rejects.absolute()),
    )


def journal_path(source: Path, collection: str) -> Path:
    """The path of the journal of ``source`` into ``collection``: next to the file."""
    return source.with_name(f"{source.name}.{collection}.ingest.json")


def resume_journal(path: Path, identity: IngestIdentity, source: RowSource | None = None) -> Journal:
    """The journal to continue from, or a new one. Raises JournalMismatch if it is another ingest's.

    A ``source`` of the same content is the same, whenever it was written, and so is a text file that only
    became longer, unless rows that were read are others now.
    """
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
    changed = [key for key in _CHANGES if before[key] != now[key]]
    if not before["encoders"] and "encoders" in changed:  # recorded since
        changed.remove("encoders")
    resumed = journal.model_copy(update={"identity": identity})
    if not changed:
        return resumed
    first = changed[0]
    what = _CHANGES[first]
    if first in _FILE_KEYS and source is not None and _same_content(journal, identity, source):
        if identity.size == journal.content.size or _has_rows(journal, source):
            return resumed
        if identity.size > journal.identity.size:
            what = "the file has grown by lines that change rows that were read"
    raise JournalMismatch(
        f"an ingest was interrupted, and {what} since",
        value=f"{before[first]}, now {now[first]}",
        next_step="Restore it to continue after the "
        f"{journal.reached.read} rows that are done, or start from the first row with --restart.",
    )


def _same_content(journal: Journal, identity: IngestIdentity, source: RowSource) -> bool:
    """Whether a file that was written to has the content of before as far as it was hashed, and perhaps more
    lines after it."""
    hashed, size = journal.content, journal.identity.size
    if identity.size < size:
        return False
    complete, grown = hashed.size == size, identity.size > size
    if grown and not (complete and hashed.ends_line):
        return False
    if (grown or not complete) and identity.format not in LINE_FORMATS:
        return False
    return hash_prefix(source.anchor, hashed.size).sha256 == hashed.sha256


def _has_rows(journal: Journal, source: RowSource) -> bool:
    """Whether the rows that are done, and those of a pending batch, are still the source's first."""
    done = journal.pending.then if journal.pending else journal.reached
    unlimited = replace(source, options=replace(source.options, limit=None))
    return has_rows(unlimited.items(), done.read, done.rows_sha256)


LINE_FORMATS = ("jsonl", "csv", "tsv")
"""Formats whose files may become longer, line by line."""

_FILE_KEYS = ("size", "head_sha256", "mtime_ns")
_CHANGES = {
    "target": "--uri has changed",
    "collection": "the collection has changed",
    "encoders": "the collection's vectors are made by other encoders",
    "format": "--format has changed",
    "reading": "the options for reading it have changed",
    "rejects": "--rejects has changed",
    "size": "the file's size has changed",
    "head_sha256": "the file's first rows have changed",
    "mtime_ns": "the file has been written to",
}
"""What a difference means. The file's keys come last: where only they differ, its rows may be the same."""


def settle_pending(journal: Journal, count: int) -> Journal:
    """The journal with its pending batch settled by ``count``, the collection's present number of rows.

    Raises JournalMismatch if the count fits neither with the batch nor without it.
    """
    pending = journal.pending
    if pending is None:
        if count == 0 and journal.reached.inserted:
            raise JournalMismatch(
                "the collection is empty, although the interrupted ingest wrote to it",
                value=f"{journal.reached.inserted} rows before",
                next_step="Start from the first row with --restart.",
            )
        return journal
    if count == pending.count:
        return journal.model_copy(update={"pending": None})
    if count == pending.count + pending.rows:
        return journal.model_copy(update={"pending": None, "reached": pending.then})
    raise unknown_batch(count, pending.count, pending.rows)


def unknown_batch(count: int, before: int, rows: int) -> JournalMismatch:
    """The error if a collection has ``count`` rows, with or without a batch of ``rows`` rows."""
    return JournalMismatch(
        "it is unknown whether the interrupted batch was stored: something else wrote to the collection",
        value=f"{count} rows, where {before} or {before + rows} were expected",
        next_step="Drop and recreate the collection, then start from the first row with --restart.",
    )


def write_journal(path: Path, journal: Journal) -> None:
    """Replace the journal atomically. Raises IngestError if its folder is not writable."""
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
    """Remove the journal, if it exists. Raises IngestError if that is not permitted."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> IngestError:
    return IngestError(
        f"the journal {path} cannot be read or written",
        value=error.strerror or str(error),
        next_step="Copy the file to a writable folder, and ingest it from there.",
    )


def with_progress(
    error: NestvecError, reached: Progress, *, generated: bool, resumable: bool, wrote: bool
) -> NestvecError:
    """The error with the progress of an ingest, and how it is continued.

    ``generated``: the rows have keys that are generated, so that a row that is stored again is doubled.
    ``wrote``: this run has stored rows. If their keys are generated, the error is not to be answered by
    running it again unseen.
    """
    parts = [f"{reached.inserted} rows are stored and {reached.rejected} were rejected"]
    if not resumable:
        parts.append("a pipe cannot be continued")
    elif not isinstance(error, CollectionRetired):
        parts.append("the same command continues from there")
    elif reached.inserted or error.has_written:
        # The journal is that of the collection of before.
        parts.append(
            "a change carries them over (a rollback does not), and the same command begins with the first row"
        )
        if generated:
            parts.append(
                "keys are generated, so that it stores rows a second time that were carried over: write only "
                f"those after the first {reached.read}, and look which of the next batch are there"
            )
    error = error.reworded(next_step=f"{error.next_step} {'; '.join(parts)}.")
    error.has_written |= wrote and generated
    error.has_replaceable_rows |= wrote and not generated
    return error
