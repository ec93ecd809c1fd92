"""Rows by a filter or by ids: in one query as far as Milvus's window reaches, in pages beyond it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from pymilvus import MilvusClient

from nestvec.milvus.catalog import DYNAMIC_COLUMN, Column, Table
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.sql.bind.query import MAX_SCAN_ROWS, MAX_WINDOW
from nestvec.sql.plan.filter import literal
from nestvec.sql.session import Session
from nestvec.sqltypes import from_stored, to_stored
from nestvec_schemas.errors import RowRejected, SqlDataError, SqlNotSupported

_PAGE_ROWS: Final = 8_192
"""Rows of a page: with vectors of 1,024 dims they are 32 MB, half of the limit of a server's response."""

STRONG_CONSISTENCY: Final = {"consistency_level": "Strong"}
"""Reads of rows that are about to be changed see every earlier write."""

MAX_IDS_PER_FILTER: Final = 1_000

Row = Mapping[str, Any]
Rows = list[Row]


@dataclass(frozen=True)
class ReadRequest:
    """The rows of a collection that match a filter."""

    doing: str
    """The operation, as an error names it."""
    collection: str
    filter: str
    fields: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of pymilvus's ``query``."""


def query_rows(session: Session, request: ReadRequest, limit: int, offset: int = 0) -> Steps[Rows]:
    """At most ``limit`` rows after ``offset``, in no order. Raises StoreError.

    Pages are not a snapshot: a row that is written meanwhile may be included or not.
    """
    once = min(limit, MAX_WINDOW - offset)
    if once > 0:
        rows: Rows = yield from _read_once(request, once, offset)
        if len(rows) < once or once == limit:
            return rows
    if (yield from session.is_lite()):
        # Milvus Lite has no window, and no order to page by.
        return (yield from _read_once(request, limit, offset))
    paged: Rows = yield BlockingCall(partial(_read_pages, request=request, limit=limit, offset=offset))
    return paged


def _read_once(request: ReadRequest, limit: int, offset: int) -> Steps[Rows]:
    rows = yield call(
        request.doing,
        "query",
        request.collection,
        filter=request.filter,
        output_fields=list(request.fields),
        limit=limit,
        offset=offset,
        **request.options,
    )
    return list(rows)


def _read_pages(client: MilvusClient, request: ReadRequest, limit: int, offset: int) -> Rows:
    """The rows from pymilvus's iterator, which pages by the primary key."""
    rows: Rows = []
    with milvus_errors(request.doing):
        pages = client.query_iterator(
            request.collection,
            batch_size=_PAGE_ROWS,
            limit=limit + offset,
            filter=request.filter,
            output_fields=list(request.fields),
            **request.options,
        )
        try:
            while page := pages.next():
                passed = min(offset, len(page))
                offset -= passed
                rows += page[passed:]
        finally:
            pages.close()
    return rows


def with_dynamic_fields(
    session: Session, collection: str, fields: Sequence[str], rows: Iterable[Row]
) -> list[Row]:
    """The rows with values of SQL types as Python's, and their dynamic fields gathered in ``$meta``, a JSON
    column, where ``fields`` has it.

    Milvus returns dynamic fields one by one.
    """
    table = session.collection(collection)
    if table is not None and table.mapped:
        rows = read_values(table, rows)
    if DYNAMIC_COLUMN.name not in fields:
        return list(rows)
    columns = table.field_names if table is not None else frozenset(fields)
    return [_gather_dynamic(row, columns) for row in rows]


def read_values(table: Table, rows: Iterable[Row]) -> list[Row]:
    """The rows with the values of columns that are stored by a mapping as Python's types.

    Raises SqlDataError for a value that another client wrote in another form.
    """
    mapped = table.mapped
    return [
        {
            name: value if name not in mapped else _read_value(mapped[name], value)
            for name, value in row.items()
        }
        for row in rows
    ]


def _read_value(column: Column, stored: Any) -> Any:
    try:
        return from_stored(column, stored)
    except RowRejected as error:
        raise SqlDataError(
            f"column {column.name}: {error.cause}", value=error.value, next_step=error.next_step
        ) from error
    except (ValueError, OverflowError, ArithmeticError, TypeError) as error:
        raise SqlDataError(
            f"column {column.name} holds a value that is not stored as {column.type_params.sql_type}",
            value=str(stored)[:60],
            next_step="Write its rows by nestvec, or in the form that the table of types documents.",
        ) from error


def _gather_dynamic(row: Row, columns: frozenset[str]) -> Row:
    declared = {name: value for name, value in row.items() if name in columns}
    # Milvus Lite adds the fields of neighbouring rows, as None; a server may add the whole of ``$meta``, too.
    dynamic = {
        name: value
        for name, value in row.items()
        if name not in columns and name != DYNAMIC_COLUMN.name and value is not None
    }
    return {**declared, DYNAMIC_COLUMN.name: dynamic}


def read_matching(
    session: Session, table: Table, where: str, fields: Sequence[str], partitions: Sequence[str] = ()
) -> Steps[list[dict[str, Any]]]:
    """Every row that matches a filter, for a change: its id and ``fields``, with every earlier write.

    Raises SqlNotSupported for too many rows, StoreError.
    """
    yield from session.ensure_loaded(table.name)
    doing = f"reading the rows of {table.name} to change"
    options: dict[str, Any] = {"partition_names": list(partitions)} if partitions else {}
    read = tuple(dict.fromkeys([table.primary.name, *fields]))
    request = ReadRequest(doing, table.name, where, read, options | STRONG_CONSISTENCY)
    rows = yield from query_rows(session, request, MAX_SCAN_ROWS + 1)
    if len(rows) > MAX_SCAN_ROWS:
        raise SqlNotSupported(
            f"changing more than {MAX_SCAN_ROWS:,} rows in one statement is not supported",
            next_step="nestvec holds them all in memory: split it by WHERE on the primary key.",
        )
    return [dict(row) for row in with_dynamic_fields(session, table.name, read, rows)]


def read_by_ids(
    session: Session, table: Table, ids: Sequence[object], fields: Sequence[str], partition: str = ""
) -> Steps[dict[Any, Any]]:
    """The existing rows of these ids, by id; an id is as it is stored, or in Python's type."""
    yield from session.ensure_loaded(table.name)
    key, rows_by_id = table.primary.name, dict[Any, Any]()
    by_stored = {_stored_id(table, row_id): row_id for row_id in ids}
    ids = list(by_stored)
    options: dict[str, Any] = {"partition_names": [partition]} if partition else {}
    for start in range(0, len(ids), MAX_IDS_PER_FILTER):
        read = tuple(dict.fromkeys([key, *fields]))
        rows = yield call(
            f"looking up rows of {table.name}",
            "query",
            table.name,
            filter=ids_filter(table, ids[start : start + MAX_IDS_PER_FILTER]),
            output_fields=list(read),
            limit=MAX_IDS_PER_FILTER,
            **options,
            **STRONG_CONSISTENCY,
        )
        found_ids = [by_stored.get(row[key], row[key]) for row in rows]
        rows_by_id |= zip(found_ids, with_dynamic_fields(session, table.name, read, rows), strict=True)
    return rows_by_id


def _stored_id(table: Table, row_id: object) -> Any:
    # No type that is stored as a number or a text is one of these in Python.
    return row_id if isinstance(row_id, (int, str)) else to_stored(table.primary, row_id)


def ids_filter(table: Table, ids: Sequence[Any]) -> str:
    """The filter that matches these ids, which are as they are stored, or in Python's type."""
    return f"{table.primary.name} in [{', '.join(literal(_stored_id(table, row_id)) for row_id in ids)}]"
