"""What the rows of a collection get in the columns that a change adds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any

from nestvec.collections.change.new_columns import NewColumn
from nestvec.collections.change.rows import Row, RowReader
from nestvec_schemas.errors import StoreRefused


@dataclass(frozen=True)
class NewValues:
    """What the rows get in the columns that a change adds."""

    values: Mapping[str, Iterator[Any]] = field(default_factory=dict)
    """By column, one for each row."""

    def of(self, rows: Sequence[Row]) -> tuple[Row, ...]:
        """The rows with values in the new columns."""
        return tuple(row | {name: next(value) for name, value in self.values.items()} for row in rows)

    def present(self, reader: RowReader, rows: Sequence[Row], partition: str) -> tuple[Row, ...]:
        """The rows with the values that those of the same keys have in the new columns by now.

        Raises StoreError.
        """
        key = reader.key.name
        names = tuple(self.values)
        complete = replace(reader, fields=(key, *names))
        present = complete.rows([row[key] for row in rows], partition) if names else {}
        return tuple(
            row | {name: present[row[key]][name] for name in names if row[key] in present} for row in rows
        )


def new_values(columns: Sequence[NewColumn], volatile: Mapping[str, Iterator[Any]]) -> NewValues:
    """What the rows get, with the values of columns whose default gives each row another one.

    Raises StoreRefused if those of a column are missing.
    """
    for column in columns:
        if column.volatile and column.name not in volatile:
            raise StoreRefused(
                "this change gives every row a value of its own in a new column, and was begun by an ALTER "
                "TABLE",
                value=f"{column.name} DEFAULT {column.default}",
                next_step="Run that statement again: it continues.",
            )
    return NewValues(
        {
            column.name: volatile[column.name] if column.volatile else repeat(column.value)
            for column in columns
        }
    )
