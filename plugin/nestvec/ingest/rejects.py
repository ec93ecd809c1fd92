"""The file of rejected rows: JSON lines with the place, the reason and the row."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nestvec.datasets.readers import STDIN
from nestvec.ingest.journal import journal_path
from nestvec_schemas.errors import IngestError, RowRejected

MAX_REASONS: Final = 5
"""Rejections that a report explains."""


@dataclass(frozen=True)
class RejectedRow:
    """A row that was not stored."""

    place: str
    """Where it is in the source: ``line 3``."""

    reason: RowRejected
    row: Mapping[str, object] | str

    def line(self) -> bytes:
        """The row as a line of JSON, in ASCII."""
        record = {"place": self.place, "reason": str(self.reason), "row": self.row}
        try:
            text = json.dumps(record, default=str)
        # Keys of other types than text, or nesting deeper than the stack.
        except (TypeError, ValueError, RecursionError):
            text = json.dumps(record | {"row": None})
        return text.encode() + b"\n"


def append_rejected(path: Path, rejected: Sequence[RejectedRow], at: int) -> int:
    """Write rows at byte ``at``, truncating the file there, and return the offset after them.

    Without a row, no file is created.

    Raises IngestError if the file cannot be written.
    """
    if not rejected:
        return at
    try:
        path.touch()
        with path.open("r+b") as file:
            file.seek(min(at, path.stat().st_size))
            file.truncate()
            for row in rejected:
                file.write(row.line())
            file.flush()
            os.fsync(file.fileno())
            return file.tell()
    except OSError as error:
        raise IngestError(
            f"the rejected rows cannot be written to {path}",
            value=error.strerror or str(error),
            next_step="Name a writable file with --rejects.",
        ) from error


def rejection_reasons(rejected: Iterable[RejectedRow]) -> list[str]:
    """The places of rejected rows, each with its reason."""
    return [f"{row.place}: {row.reason}" for row in rejected]


def default_rejects(path: Path) -> Path:
    """The file of rejected rows: beside the file, or in the current folder for a pipe."""
    regular = path.is_file() or not path.exists()
    if regular and path != STDIN:
        return path.with_name(f"{path.name}.rejected.jsonl")
    return Path("stdin.rejected.jsonl")


def rejects_path(path: Path, collection: str, rejects: Path | None) -> Path:
    """The file of rejected rows: ``rejects``, or the default one. Raises IngestError if it is the input or
    its journal."""
    chosen = rejects or default_rejects(path)
    same = chosen.exists() and path.exists() and chosen.samefile(path)
    if same or chosen == journal_path(path, collection):
        raise IngestError(
            "the rejected rows would be written over the input or its journal",
            value=str(chosen),
            next_step="Name another file with --rejects.",
        )
    return chosen
