"""The rows that a statement is about to write over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nestvec.catalog import Table
from nestvec.sql.bind.select import MOST_ROWS
from nestvec.sql.run.dynamic import with_dynamic
from nestvec.sql.run.reading import Wanted, read_rows
from nestvec.sql.run.write import STRONG
from nestvec.sql.session import Session
from nestvec.steps import Steps
from nestvec_schemas.errors import SqlNotSupported


def matching(
    session: Session, table: Table, where: str, fields: Sequence[str], partitions: Sequence[str] = ()
) -> Steps[list[dict[str, Any]]]:
    """Every row that a filter is true of, with its id and ``fields``; what was written before is seen.

    Raises SqlNotSupported where there are more than MOST_ROWS, StoreError.
    """
    yield from session.loaded(table.name)
    doing = f"reading the rows of {table.name} to change"
    how: dict[str, Any] = {"partition_names": list(partitions)} if partitions else {}
    read = tuple(dict.fromkeys([table.primary.name, *fields]))
    wanted = Wanted(doing, table.name, where, read, how | STRONG)
    found = yield from read_rows(session, wanted, MOST_ROWS + 1)
    if len(found) > MOST_ROWS:
        raise SqlNotSupported(
            f"changing more than {MOST_ROWS:,} rows in one statement is not supported",
            next_step="They are all in memory here: do it in parts, by WHERE on the primary key.",
        )
    return [dict(row) for row in with_dynamic(session, table.name, read, found)]
