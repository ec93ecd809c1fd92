"""The journal of a change: which rows are copied, and as what, so that any command continues any other.

It is an SQLite database, beside a Milvus Lite database or in the user's state folder, while the change runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from platformdirs import user_state_path

from nestvec.collections.change.plan import Names
from nestvec.ingest.target import former_target
from nestvec_schemas.errors import JournalMismatch, StoreInUse, StoreRefused

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS rows (key PRIMARY KEY, digest BLOB NOT NULL, pass INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sent (key, digest BLOB, PRIMARY KEY (key, digest)) WITHOUT ROWID;
"""
UNFINISHED: Final = b""
"""In place of the digest of a row that is being copied."""

_AT_ONCE: Final = 500

_MAX_FILE_NAME: Final = 240
"""Bytes of a file's name, with room for those that SQLite writes beside it."""


def journal_path(target: str, collection: str) -> Path:
    """The path of the journal of a change of ``collection`` in the database ``target``."""
    path, former = _path(target, collection), former_target(target)
    if former is not None and not path.exists() and _path(former, collection).exists():
        return _path(former, collection)
    return path


def _path(target: str, collection: str) -> Path:
    place, _, database = target.partition("#")
    if place.endswith(".db"):
        path = Path(f"{place}.{f'{collection}@{database}' if database else collection}.change")
        if len(os.fsencode(path.name)) <= _MAX_FILE_NAME:
            return path
        return path.with_name(f"{hashlib.sha256(path.name.encode()).hexdigest()[:32]}.change")
    name = hashlib.sha256(f"{target}\0{collection}".encode()).hexdigest()[:32]
    return user_state_path("nestvec") / "changes" / f"{name}.change"


class ChangeJournal:
    """An open journal: no other command has it until it is closed. Raises StoreInUse, StoreRefused."""

    def __init__(self, path: Path, collection: str) -> None:
        self.path = path
        with _errors(path, collection):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, timeout=0, isolation_level=None)
            self._file.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._file.execute("BEGIN EXCLUSIVE")
            for statement in _SCHEMA.split(";"):
                self._file.execute(statement)
            self._file.execute("COMMIT")
        self._collection = collection
        self.writes = 0
        """Transactions of this process."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        new = self.identity is None
        self._file.close()
        if new:
            self.path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove what is recorded: the change is at its end."""
        with self._writing():
            for table in ("facts", "rows", "sent"):
                self._file.execute(f"DELETE FROM {table}")  # noqa: S608 - the names above

    @property
    def names(self) -> Names | None:
        """The collections of the change that is recorded; None if none is."""
        recorded = self._fact("names")
        return None if recorded is None else Names(**json.loads(recorded))

    @property
    def identity(self) -> str | None:
        """The change that is recorded, as text; None if none is."""
        return self._fact("identity")

    @property
    def mark(self) -> str:
        """What distinguishes this change from every other."""
        return self._fact("mark") or ""

    @property
    def keep_old(self) -> bool:
        """Whether the collection of before is to remain."""
        return self._fact("keep_old") is not None

    def begin(self, identity: str, names: Names, mark: str, *, keep_old: bool = False) -> None:
        """Record a change before anything is done."""
        facts = {"identity": identity, "names": json.dumps(asdict(names)), "mark": mark}
        facts |= {"keep_old": "yes"} if keep_old else {}
        with self._writing():
            self._file.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())

    def check(self, identity: str) -> None:
        """Raise JournalMismatch if the change that is recorded is another one."""
        recorded = self.identity
        if recorded is not None and recorded != identity:
            raise JournalMismatch(
                f"another change of {self._collection} was interrupted",
                value=_shortened(recorded),
                next_step="Run the command of that change again, or drop what it did with --restart.",
            )

    def next_pass(self) -> int:
        """The number of a new pass over the rows."""
        number = int(self._fact("pass") or 0) + 1
        with self._writing():
            self._file.execute("INSERT OR REPLACE INTO facts VALUES ('pass', ?)", (str(number),))
        return number

    def count(self) -> int:
        """The number of rows that are copied."""
        with _errors(self.path, self._collection):
            query = "SELECT count(*) FROM rows WHERE digest != ?"
            return int(self._file.execute(query, (UNFINISHED,)).fetchone()[0])

    def digests(self, keys: Sequence[object]) -> dict[object, bytes]:
        """The digests of the rows of these keys that are copied."""
        read: dict[object, bytes] = {}
        for start in range(0, len(keys), _AT_ONCE):
            part = keys[start : start + _AT_ONCE]
            query = f"SELECT key, digest FROM rows WHERE key IN ({', '.join('?' * len(part))})"  # noqa: S608
            with _errors(self.path, self._collection):
                read.update(self._file.execute(query, part).fetchall())
        return read

    def keys_in_pass(self, keys: Sequence[object], number: int) -> list[object]:
        """Those keys of rows that a pass has seen already."""
        query = "SELECT 1 FROM rows WHERE key = ? AND pass = ?"
        with _errors(self.path, self._collection):
            return [key for key in keys if self._file.execute(query, (key, number)).fetchone()]

    def sent(self, rows: Mapping[object, Sequence[bytes]]) -> set[object]:
        """Those keys of rows one of whose digests is of a row that was to be copied once."""
        query = "SELECT 1 FROM sent WHERE key = ? AND digest = ?"
        with _errors(self.path, self._collection):
            return {
                key
                for key, digests in rows.items()
                if any(self._file.execute(query, (key, digest)).fetchone() for digest in digests)
            }

    def record_sent(self, rows: Sequence[tuple[object, bytes]], number: int) -> None:
        """Record rows before they are copied: as UNFINISHED, and that the second collection may get them."""
        with self._writing():
            self._file.executemany("INSERT OR IGNORE INTO sent VALUES (?, ?)", rows)
            unfinished = [(key, UNFINISHED, number) for key, _ in rows]
            self._file.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", unfinished)

    def record(self, rows: Iterable[tuple[object, bytes]], number: int) -> None:
        """Record rows as they are copied, or as UNFINISHED, seen in a pass."""
        with self._writing():
            self._file.executemany(
                "INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", [(key, mark, number) for key, mark in rows]
            )

    def forget(self, keys: Iterable[object]) -> None:
        """Record that rows are not there any more."""
        with self._writing():
            self._file.executemany("DELETE FROM rows WHERE key = ?", [(key,) for key in keys])

    def forget_all(self) -> None:
        """Record that no row is copied, and none was sent."""
        with self._writing():
            self._file.execute("DELETE FROM rows")
            self._file.execute("DELETE FROM sent")

    def unseen(self, number: int) -> Iterator[list[object]]:
        """The keys of rows that a pass did not see, in parts."""
        query, last = "SELECT key FROM rows WHERE pass < ? ORDER BY key", 0
        with _errors(self.path, self._collection):
            keys = [key for (key,) in self._file.execute(query, (number,))]
        for last in range(0, len(keys), _AT_ONCE):
            yield keys[last : last + _AT_ONCE]

    def sample(self, count: int) -> list[object]:
        """Keys of copied rows, chosen at random."""
        query = "SELECT key FROM rows ORDER BY random() LIMIT ?"
        with _errors(self.path, self._collection):
            return [key for (key,) in self._file.execute(query, (count,))]

    def _fact(self, name: str) -> str | None:
        with _errors(self.path, self._collection):
            row = self._file.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with _errors(self.path, self._collection):
            self._file.execute("BEGIN")
            try:
                yield
            except BaseException:
                if self._file.in_transaction:  # SQLite rolls back by itself when the disk is full
                    self._file.execute("ROLLBACK")
                raise
            self._file.execute("COMMIT")
            self.writes += 1


def _shortened(identity: str) -> str:
    recorded = json.loads(identity)
    fields = [f"{spec['field']} by {spec['encoder']}" for spec in recorded["add"]]
    fields += [column["name"] for column in recorded.get("columns", ())]
    parts = [f"add {', '.join(fields)}"] if fields else []
    parts += [f"drop {', '.join(recorded['drop'])}"] if recorded["drop"] else []
    return "; ".join(parts)[:200]


@contextmanager
def _errors(path: Path, collection: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise StoreInUse(
                f"another command is changing {collection}",
                value=str(path),
                next_step="Wait until it has ended, or stop it: the same command continues it.",
            ) from error
        raise _unwritable(path, error) from error
    except (sqlite3.DatabaseError, OSError) as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: Exception) -> StoreRefused:
    return StoreRefused(
        f"the journal {path} cannot be read or written",
        value=str(error),
        next_step="Make its folder writable and free space on its disk; then the same command continues.",
    )
