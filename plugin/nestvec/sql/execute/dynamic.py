"""Fields that are no columns: Milvus gives them one by one, SQL reads them as the JSON column ``$meta``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nestvec.milvus.catalog import DYNAMIC
from nestvec.sql.session import Session

Row = Mapping[str, Any]


def with_dynamic_fields(
    session: Session, collection: str, fields: Sequence[str], rows: Iterable[Row]
) -> list[Row]:
    """The rows as ``fields`` were asked for: with ``$meta`` where it is one of them."""
    if DYNAMIC.name not in fields:
        return list(rows)
    table = next((one for one in session.tables.values() if one.name == collection), None)
    columns = {one.name for one in table.columns} if table is not None else set(fields)
    return [_gather_dynamic(row, columns) for row in rows]


def _gather_dynamic(row: Row, columns: set[str]) -> Row:
    declared = {name: value for name, value in row.items() if name in columns}
    # Milvus Lite gives a row the fields of those beside it, as None; a server may give the whole of it too.
    dynamic = {
        name: value
        for name, value in row.items()
        if name not in columns and name != DYNAMIC.name and value is not None
    }
    return {**declared, DYNAMIC.name: dynamic}
