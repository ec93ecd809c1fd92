"""Which files were ingested into collections whose keys Milvus generates: again, and their rows are doubled.

A record is in the user's state folder, since neither the file nor the collection says it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from platformdirs import user_state_path
from pydantic import BaseModel, ConfigDict, ValidationError
from pymilvus import MilvusClient

from nestvec.ingest.content import ContentHash, hash_prefixes
from nestvec.ingest.journal import IngestIdentity, Journal, journal_path
from nestvec.ingest.target import former_target
from nestvec.ingest.write.names import leads_to, readers_name

_TAIL_BYTES: Final = 1 << 20

_MAX_CONTENTS: Final = 16
"""Contents of one file that are remembered, of a name that a new file takes each day, for instance."""

_MAX_FORMER: Final = 8
"""Collections of before that are looked for: each change makes one."""


class FinishedIngest(BaseModel):
    """A file that was ingested to its end."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    file: str
    rows: int
    """Rows that were stored."""

    finished: float
    """Seconds since 1970."""

    collection_id: int = 0
    """Milvus's id of the collection; 0 if it has none, as in Milvus Lite."""

    content: ContentHash = ContentHash()
    """The hash of the file, as far as it was computed."""

    @property
    def day(self) -> str:
        """The local day of its end: ``2026-11-29``."""
        return time.strftime("%Y-%m-%d", time.localtime(self.finished))


def read_finished(path: Path, identity: IngestIdentity) -> FinishedIngest | None:
    """The earlier ingest of a file of this content, or of its beginning, into the same collection; None if
    there is no record."""
    record = _read(_record_path(path, identity)) or _shorter(path, identity)
    former = former_target(identity.target)
    if record is None and former is not None:
        before = identity.model_copy(update={"target": former})
        record = _read(_record_path(path, before)) or _shorter(path, before)
    return record


def _read(record: Path) -> FinishedIngest | None:
    try:
        return FinishedIngest.model_validate_json(record.read_bytes())
    except (OSError, ValidationError):
        return None


def _shorter(path: Path, identity: IngestIdentity) -> FinishedIngest | None:
    """The latest earlier ingest of the file at this path, if it has only become longer since."""
    records = [record for record in _read_of_name(path, identity) if 0 < record.content.size < identity.size]
    digests = hash_prefixes(path, {record.content.size for record in records}) if records else {}
    same = [record for record in records if digests.get(record.content.size) == record.content.sha256]
    return same[-1] if same else None


def read_earlier(path: Path, identity: IngestIdentity, former: Sequence[str]) -> FinishedIngest | None:
    """The same, or an ingest into one of the ``former`` collections, be it only begun: a change has carried
    its rows over. None if there is none."""
    record = read_finished(path, identity)
    for name in former:
        if record is not None:
            break
        before = identity.model_copy(update={"collection": name})
        record = read_finished(path, before) or _interrupted(path, before)
    return record


def _interrupted(path: Path, identity: IngestIdentity) -> FinishedIngest | None:
    """What the journal of an ingest says that was not completed; None without one that stored rows."""
    where = journal_path(path, identity.collection)
    try:
        journal = Journal.model_validate_json(where.read_bytes())
        last_write = where.stat().st_mtime
    except (OSError, ValidationError):
        return None
    own = journal.identity
    same = (own.target, own.head_sha256) == (identity.target, identity.head_sha256)
    if not same or not journal.reached.inserted:
        return None
    return FinishedIngest(file=str(path.absolute()), rows=journal.reached.inserted, finished=last_write)


def former_names(client: MilvusClient, name: str) -> tuple[str, ...]:
    """The names that a collection had before it was changed, the last few of them: ``papers__2`` those of
    ``papers__1`` and ``papers``, if readers use it as ``papers``. Raises StoreError."""
    alias = readers_name(name)
    if alias is None or leads_to(client, alias) != name:
        return ()
    number = int(name.rpartition("__")[2])
    numbers = range(max(0, number - _MAX_FORMER), number)
    return (*(f"{alias}__{former}" for former in reversed(numbers)), alias)


def write_finished(path: Path, identity: IngestIdentity, finished: FinishedIngest) -> None:
    """Record an ingest. A state folder that is not writable keeps no record."""
    others = [record for record in _read_of_name(path, identity) if record.content != finished.content]
    of_name = [*others, finished][-_MAX_CONTENTS:]
    with suppress(OSError):
        for place, records in (
            (_record_path(path, identity), [finished]),
            (_record_of_name(path, identity), of_name),
        ):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("\n".join(record.model_dump_json() for record in records))


def _read_of_name(path: Path, identity: IngestIdentity) -> list[FinishedIngest]:
    """The records of the contents that the file of this name had, the latest last; a line each."""
    try:
        lines = _record_of_name(path, identity).read_text().split("\n")
        return [FinishedIngest.model_validate_json(line) for line in lines]
    except (OSError, ValueError):
        return []


def _record_path(path: Path, identity: IngestIdentity) -> Path:
    with path.open("rb") as file:
        file.seek(max(0, identity.size - _TAIL_BYTES), os.SEEK_SET)
        tail = hashlib.sha256(file.read(_TAIL_BYTES)).hexdigest()
    return _record_named(identity, str(identity.size), identity.head_sha256, tail)


def _record_of_name(path: Path, identity: IngestIdentity) -> Path:
    """The records of what was ingested under this name."""
    return _record_named(identity, str(path.absolute()))


def _record_named(identity: IngestIdentity, *parts: str) -> Path:
    parts = (identity.target, identity.collection, *parts)
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return user_state_path("nestvec") / "ingested" / f"{name}.json"
