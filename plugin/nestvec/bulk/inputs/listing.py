"""The files that a source names, on this machine or in a store."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from pyarrow import fs

from nestvec.bulk.locations import check_scheme, is_remote, open_store, store_errors
from nestvec_schemas.errors import FileUnreadable

_HIDDEN: Final = ("_", ".")


@dataclass(frozen=True)
class FileStat:
    """A file as a listing shows it."""

    address: str
    size: int
    mtime_ns: int

    is_lance: bool = False
    """Whether it is the folder of a Lance table."""

    partition: str = ""
    """The values of columns that are not in the file, see ``partition_values``."""


def list_files(source: str) -> list[FileStat]:
    """The files that a path, a folder, a glob pattern or a store's prefix names, sorted.

    Files whose names start with ``.`` or ``_`` are left out of folders. Raises FileUnreadable if there is
    none.
    """
    stats = without_hidden(list_entries(source))
    if not stats:
        raise FileUnreadable(
            "there is no file to read", value=source, next_step="Check the path, the pattern or the prefix."
        )
    return stats


def list_entries(source: str) -> list[tuple[str, FileStat]]:
    """All files that a source names, with their paths below its folder. Raises FileUnreadable."""
    check_scheme(source)
    if not source:
        # As a variable of the shell may be; a path without a name would be the present folder.
        raise FileUnreadable("the source is empty", next_step="Name a file, a folder, a pattern or a store.")
    return _list_remote(source) if is_remote(source) else _list_local(source)


def without_hidden(entries: list[tuple[str, FileStat]]) -> list[FileStat]:
    """Those whose paths have no part that starts with ``.`` or ``_``, sorted."""
    shown = [stat for path, stat in entries if not any(part.startswith(_HIDDEN) for part in path.split("/"))]
    return sorted(shown, key=lambda stat: stat.address)


def _list_local(source: str) -> list[tuple[str, FileStat]]:
    path = Path(source)
    if path.is_dir():
        names = [file for file in path.rglob("*") if file.is_file()]
    elif path.is_file():
        names = [path]
    elif path.exists() or source == "-":
        raise FileUnreadable(
            "a bulk job reads its files more than once, and a pipe or a device only gives its rows once",
            value=source,
            next_step="Write the rows to a file, or read them with nestvec ingest.",
        )
    else:
        names = [
            Path(name)
            for name in glob.glob(source, recursive=True)  # noqa: PTH207 - of an absolute path, too
            if Path(name).is_file()
        ]
    entries = []
    for name in names:
        stat = name.stat()
        below = name.relative_to(path).as_posix() if path.is_dir() else ""
        entries.append((below, FileStat(str(name.absolute()), stat.st_size, stat.st_mtime_ns)))
    return entries


def _list_remote(source: str) -> list[tuple[str, FileStat]]:
    with store_errors(source):
        store, path = open_store(source)
        info = store.get_file_info(path)
        if info.type == fs.FileType.File:
            infos = [info]
        else:
            selector = fs.FileSelector(path, recursive=True, allow_not_found=True)
            infos = [entry for entry in store.get_file_info(selector) if entry.type == fs.FileType.File]
    parts = urlsplit(source)
    query = f"?{parts.query}" if parts.query else ""
    return [
        (
            entry.path[len(path) :].lstrip("/"),
            FileStat(f"{parts.scheme}://{quote(entry.path)}{query}", entry.size, entry.mtime_ns or 0),
        )
        for entry in infos
    ]
