"""Where the rows of each task are in a text file, so that no task reads the rows before its own."""

from __future__ import annotations

import hashlib
import os
from itertools import islice
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from nestvec.datasets.readers import RowPosition, RowSource
from nestvec.datasets.readers.streams import readable
from nestvec_schemas.errors import JournalMismatch

_HEAD_BYTES: Final = 1 << 20
_CHUNK_BYTES: Final = 1 << 20


class FilePart(BaseModel):
    """The bytes of a file that have the rows of a task."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    offset: int
    """Bytes before it; 0 for the beginning of the file, which may have a header."""

    lines: int
    """Lines before it."""

    end: int
    """Bytes up to its end."""

    sha256: str
    """Of the file's size, its first MiB and these bytes."""


def file_parts(source: RowSource, rows: int, max_rows: int) -> tuple[FilePart, ...]:
    """The parts of a file of this many rows with at most ``max_rows`` each, which reads it once.

    None for a file of one part, and for one of which only reading it says where its rows are: one that is
    compressed or in another encoding than UTF-8, a JSON array, Parquet. Raises FileUnreadable.
    """
    positions = source.positions(max_rows) if rows > max_rows else None
    if positions is None:
        return ()
    starts = [RowPosition(), *islice(positions, rows // max_rows)]
    count = -(-rows // max_rows)
    ends = [position.offset for position in starts[1 : count + 1]]
    if len(ends) < count:
        ends.append(source.path.stat().st_size)
    return tuple(
        FilePart(
            offset=start.offset,
            lines=start.lines,
            end=end,
            sha256=_part_digest(source.path, start.offset, end),
        )
        for start, end in zip(starts[:count], ends, strict=True)
    )


def check_part(path: Path, part: FilePart, address: str) -> None:
    """Raise JournalMismatch if a file has changed since the plan was made, FileUnreadable if it is gone."""
    with readable(address):
        digest = _part_digest(path, part.offset, part.end)
    if digest != part.sha256:
        raise JournalMismatch(
            "a file has changed since the bulk job was begun",
            value=address,
            next_step="Restore it to continue, or begin again with --restart.",
        )


def _part_digest(path: Path, offset: int, end: int) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256(b"%d\n" % os.fstat(file.fileno()).st_size)
        digest.update(file.read(_HEAD_BYTES))
        file.seek(offset)
        left = end - offset
        while left > 0 and (chunk := file.read(min(_CHUNK_BYTES, left))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()
