"""The rows that a statement is about to write over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import Steps
from nestvec.sql.bind.select import MOST_ROWS
from nestvec.sql.execute.dynamic import with_dynamic_fields
from nestvec.sql.execute.reading import ReadRequest, read_rows
from nestvec.sql.execute.write import STRONG_CONSISTENCY
from nestvec.sql.session import Session
from nestvec_schemas.errors import SqlNotSupported


def read_matching(
    session: Session, table: Table, where: str, fields: Sequence[str], partitions: Sequence[str] = ()
) -> Steps[list[dict[str, Any]]]:
    """Every row that a filter is true of, with its id and ``fields``; what was written before is seen.

    Raises SqlNotSupported where there are more than MOST_ROWS, StoreError.
    """
    yield from session.ensure_loaded(table.name)
    doing = f"reading the rows of {table.name} to change"
    options: dict[str, Any] = {"partition_names": list(partitions)} if partitions else {}
    read = tuple(dict.fromkeys([table.primary.name, *fields]))
    request = ReadRequest(doing, table.name, where, read, options | STRONG_CONSISTENCY)
    rows = yield from read_rows(session, request, MOST_ROWS + 1)
    if len(rows) > MOST_ROWS:
        raise SqlNotSupported(
            f"changing more than {MOST_ROWS:,} rows in one statement is not supported",
            next_step="They are all in memory here: do it in parts, by WHERE on the primary key.",
        )
    return [dict(row) for row in with_dynamic_fields(session, table.name, read, rows)]
