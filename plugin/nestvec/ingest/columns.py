"""Which columns of a file fill which columns of a collection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from nestvec_schemas.errors import IngestError, RowRejected, nearest

_MAX_NAME_LENGTH = 60


def ignore_step(name: str) -> str:
    """What to do about a column that the collection does not have."""
    short = name if len(name) <= _MAX_NAME_LENGTH else "NAME"
    return (
        "Ignore such columns with --ignore-extra (in COPY, IGNORE_EXTRA), or name the column that it fills "
        f"with --map {short}=COLUMN (in COPY, MAP '{short}=COLUMN')."
    )


@dataclass(frozen=True)
class ColumnMap:
    """What a file's columns are called in the collection, and which are left out."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    """A column of the collection for each column of the file that has another name."""

    selected: tuple[str, ...] | None = None
    """The collection's columns to fill, as in ``COPY t (a, b)``; None for all."""

    ignore_extra: bool = False
    """Whether to leave out columns that the collection does not have, or that it fills itself."""

    defaults: Mapping[str, Iterator[object]] = field(default_factory=dict, compare=False)
    """The values of columns that a row lacks, one for each such row."""

    def target(self, name: str) -> str:
        """The collection's name of a column of the file."""
        return self.renamed.get(name, name)

    def with_header(self, header: tuple[str, ...] | None, *, path: str) -> ColumnMap:
        """The map for a file with this header, where the names and numbers of columns are as they must be.

        Selected columns that are not in the header are those of the file by position, as in PostgreSQL.
        Raises IngestError.
        """
        if header is None:
            return self
        for name in self.renamed:
            if name not in header:
                raise IngestError(
                    f"{path} has no column of this name to map",
                    value=name,
                    next_step=f"Available: {', '.join(header)}.{nearest(name, header)}",
                )
        columns = self
        if self.selected is not None and not self.renamed and not set(self.selected) & set(header):
            if len(self.selected) != len(header):
                raise IngestError(
                    f"{path} has {len(header)} columns, the statement names {len(self.selected)} others",
                    value=", ".join(header),
                    next_step="Name as many columns as the file has, or columns of the file.",
                )
            columns = replace(self, renamed=dict(zip(header, self.selected, strict=True)))
        columns._check_targets(header, path)
        return columns

    def _check_targets(self, header: tuple[str, ...], path: str) -> None:
        targets = [self.target(name) for name in header]
        for name in (*self.renamed.values(), *(self.selected or ())):
            if targets.count(name) > 1:
                raise IngestError(
                    f"two columns of {path} would fill the same column",
                    value=name,
                    next_step="Map the other one to another column, or remove it from the file.",
                )
            if not targets.count(name):
                raise IngestError(
                    f"no column of {path} fills a column that is to be filled",
                    value=name,
                    next_step=f"The file has {', '.join(header)}.{nearest(name, header)}",
                )

    def apply(self, row: Mapping[str, object]) -> Mapping[str, object]:
        """A row under the collection's names. Raises RowRejected if two cells would fill one column."""
        if self.renamed:
            named = {self.target(name): value for name, value in row.items()}
            if len(named) < len(row):
                repeated = next(name for name in row if name not in self.renamed and name in self._targets)
                raise RowRejected(
                    "two values of the row would fill the same column",
                    value=repeated,
                    next_step="Remove one of them, or map it to another column.",
                )
            row = named
        if self.selected is not None:
            row = {name: value for name, value in row.items() if name in self.selected}
        return row

    @property
    def _targets(self) -> frozenset[str]:
        return frozenset(self.renamed.values())

    def identity(self) -> str:
        """The map as text, for a journal; empty if it changes nothing."""
        parts = [f"{name}={target}" for name, target in sorted(self.renamed.items())]
        if self.selected is not None:
            parts.append(f"({', '.join(self.selected)})")
        if self.ignore_extra:
            parts.append("without extra columns")
        return "; ".join(parts)
