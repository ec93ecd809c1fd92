"""The rows that a statement is about to write over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nestvec.catalog import Table
from nestvec.sql.bind.select import MAX_ROWS
from nestvec.sql.run.write import STRONG
from nestvec.sql.session import Session
from nestvec.steps import Steps, call
from nestvec_schemas.errors import SqlNotSupported


def matching(
    session: Session, table: Table, where: str, fields: Sequence[str], partitions: Sequence[str] = ()
) -> Steps[list[dict[str, Any]]]:
    """Every row that a filter is true of, with its id and ``fields``; what was written before is seen.

    Raises SqlNotSupported where there are more than Milvus gives, StoreError.
    """
    yield from session.loaded(table.name)
    found = yield call(
        f"reading the rows of {table.name} to change",
        "query",
        table.name,
        filter=where,
        output_fields=list(dict.fromkeys([table.primary.name, *fields])),
        limit=MAX_ROWS,
        **({"partition_names": list(partitions)} if partitions else {}),
        **STRONG,
    )
    if len(found) >= MAX_ROWS:
        raise SqlNotSupported(
            f"changing {MAX_ROWS:,} rows or more in one statement is not supported",
            next_step="Milvus gives no more at once: do it in parts, by WHERE on the primary key.",
        )
    return [dict(row) for row in found]
