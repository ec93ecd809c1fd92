"""A file of rows, and the formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from nestvec.datasets.readers.csv_rows import csv_cells, csv_header, csv_items, csv_positions
from nestvec.datasets.readers.json_rows import json_header, json_items, jsonl_items, jsonl_positions
from nestvec.datasets.readers.options import ReadOptions
from nestvec.datasets.readers.parquet import parquet_header, parquet_items
from nestvec.datasets.readers.rows import CellTypes, RowPosition, SourceRow
from nestvec.datasets.readers.streams import STDIN, SUFFIXES, Input
from nestvec_schemas.errors import FileUnreadable, nearest


@dataclass(frozen=True)
class FileFormat:
    """How one format is read."""

    cells: Callable[[ReadOptions], CellTypes]
    header: Callable[[Input, ReadOptions], tuple[tuple[str, ...] | None, int | None]]
    items: Callable[[Input, ReadOptions, RowPosition], Iterator[SourceRow]]
    positions: Callable[[Input, ReadOptions, int], Iterator[RowPosition]] | None = None
    """The position after each number of rows, of a format whose rows begin anew wherever one ends."""

    delimiter: str | None = None
    """The delimiter of a format that has only one."""

    text: bool = True
    """Whether it is text, with an encoding."""


FORMATS: Final[dict[str, FileFormat]] = {
    "jsonl": FileFormat(lambda options: CellTypes(), json_header, jsonl_items, jsonl_positions),
    "json": FileFormat(lambda options: CellTypes(), json_header, json_items),
    "csv": FileFormat(csv_cells, csv_header, csv_items, csv_positions),
    "tsv": FileFormat(csv_cells, csv_header, csv_items, csv_positions, delimiter="\t"),
    "parquet": FileFormat(
        lambda options: CellTypes(json_text=True), parquet_header, parquet_items, text=False
    ),
}

_ALIASES: Final = {"ndjson": "jsonl", "pq": "parquet", "tab": "tsv"}


@dataclass(frozen=True)
class RowSource:
    """A file of rows."""

    path: Path
    format: str

    columns: tuple[str, ...] | None
    """None for a format without a header."""

    total: int | None
    """Number of rows; None if the format does not say."""

    input: Input
    options: ReadOptions

    @property
    def cells(self) -> CellTypes:
        """How the file represents values."""
        return FORMATS[self.format].cells(self.options)

    @property
    def resumable(self) -> bool:
        """Whether its rows can be read again: neither standard input nor a pipe."""
        return self.input.seekable

    @property
    def anchor(self) -> Path:
        """The file beside which a journal belongs: the file itself, or an empty temporary one for a pipe."""
        return self.input.anchor

    def items(self, start: RowPosition | int = 0) -> Iterator[SourceRow]:
        """Every row after a position, or after a number of rows, up to the options' limit.

        Raises FileUnreadable if reading fails.
        """
        start = RowPosition(start) if isinstance(start, int) else start
        rows = FORMATS[self.format].items(self.input, self.options, start)
        limit = self.options.limit
        return rows if limit is None else islice(rows, max(limit - start.rows, 0))

    def positions(self, every: int) -> Iterator[RowPosition] | None:
        """The position after each ``every`` rows, which reads the file; None where only reading all rows
        before one says where it is."""
        positions = FORMATS[self.format].positions
        if positions is None or not self.input.has_offsets:
            return None
        return positions(self.input, self.options, every)


def open_source(path: Path, kind: str | None = None, options: ReadOptions | None = None) -> RowSource:
    """Open a file, or standard input if it is ``-``; its format is ``kind``, or that of its extension.

    Raises FileUnreadable.
    """
    options = options or ReadOptions()
    name = format_name(path, kind)
    file_format = FORMATS[name]
    check_options(name, options, is_text=file_format.text)
    if options.delimiter is None and file_format.delimiter is not None:
        options = replace(options, delimiter=file_format.delimiter)
    source = Input(path, options.encoding)
    columns, total = file_format.header(source, options)
    for column in columns or ():
        if not column or (columns or ()).count(column) > 1:
            raise FileUnreadable(
                f"{source.name} has a column without a name, or two columns of the same name",
                value=column,
                next_step="Give every column a unique name.",
            )
    if total is not None and options.limit is not None:
        total = min(total, options.limit)
    return RowSource(path, name, columns=columns, total=total, input=source, options=options)


def format_name(path: Path, kind: str | None = None) -> str:
    """``kind``, or the format of a path's extension. Raises FileUnreadable if there is none of this name."""
    name = kind or _format_of(path)
    if name not in FORMATS:
        raise _unknown_format(path, name)
    return name


def _format_of(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in SUFFIXES:
        suffixes.pop()
    name = suffixes[-1].lstrip(".") if suffixes else ""
    return _ALIASES.get(name, name)


def _unknown_format(path: Path, name: str) -> FileUnreadable:
    formats = ", ".join(FORMATS)
    if path == STDIN:
        return FileUnreadable(
            "the format of standard input is not known", next_step=f"Name it with --format: {formats}."
        )
    return FileUnreadable(
        f"{path} has an unknown format",
        value=path.suffix or "no extension",
        next_step=f"Name the format with --format: {formats}.{nearest(name, FORMATS)} "
        "Of a folder, choose the files with a pattern, such as 'rows/*.jsonl'.",
    )


def check_options(name: str, options: ReadOptions, *, is_text: bool) -> None:
    """Raise FileUnreadable for an option that means nothing in this format."""
    defaults = ReadOptions()
    for field, what in (
        ("delimiter", "a delimiter"),
        ("quote", "a quote character"),
        ("escape", "an escape character"),
        ("nulls", "a text for null"),
        ("columns", "a list of columns instead of a header"),
    ):
        if name not in ("csv", "tsv") and getattr(options, field) != getattr(defaults, field):
            raise _meaningless(name, what, "CSV and TSV files")
    if options.encoding is not None and not is_text:
        raise _meaningless(name, "an encoding", "text files")


def _meaningless(name: str, what: str, of: str) -> FileUnreadable:
    return FileUnreadable(
        f"{what} is an option of {of} only", value=f"the format {name}", next_step="Omit it."
    )
