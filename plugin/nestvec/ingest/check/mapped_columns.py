"""Columns that are to be stored under another name, and that no row of the file has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from nestvec.datasets.readers import SourceRow
from nestvec_schemas.errors import nearest

_MAX_NAMES: Final = 200
"""Names of columns that are remembered, to offer the nearest."""


def missing_warnings(missing: Mapping[str, str], rows: int, names: Sequence[str]) -> tuple[str, ...]:
    """A sentence for each column, with the one that it is mapped to, that none of the rows had."""
    if not rows:
        return ()
    return tuple(
        f"None of the {rows} rows that were read has a column {name}, which is mapped to {target}. "
        f"Columns: {', '.join(names[:20])}.{nearest(name, names)}"
        for name, target in missing.items()
    )


class MappedColumns:
    """Notes the columns of rows that are read, for a format without a header."""

    def __init__(self, renamed: Mapping[str, str]) -> None:
        """``renamed`` has the collection's name of each column of the file."""
        self._missing = dict(renamed)
        self._names: dict[str, None] = {}
        self._rows = 0

    def follow(self, items: Iterable[SourceRow]) -> Iterator[SourceRow]:
        """The items."""
        items = iter(items)
        while self._missing:
            item = next(items, None)
            if item is None:
                return
            if isinstance(item.value, Mapping):
                self._note(item.value)
            yield item
        yield from items

    @property
    def missing(self) -> tuple[str, ...]:
        """The columns that none of the rows had."""
        return tuple(self._missing)

    @property
    def names(self) -> tuple[str, ...]:
        """Those that rows had instead."""
        return tuple(self._names)

    def warnings(self) -> tuple[str, ...]:
        """A sentence for each column that none of the rows had."""
        return missing_warnings(self._missing, self._rows, self.names)

    def _note(self, row: Mapping[str, object]) -> None:
        self._rows += 1
        for name in row:
            self._missing.pop(name, None)
            if len(self._names) < _MAX_NAMES:
                self._names[name] = None
