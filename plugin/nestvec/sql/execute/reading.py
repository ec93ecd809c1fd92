"""Rows by a filter: at once as far as Milvus's window reaches, page by page beyond it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from pymilvus import MilvusClient

from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.steps import Job, Steps, call
from nestvec.sql.bind.clauses import MAX_ROWS
from nestvec.sql.session import Session

_PAGE_ROWS: Final = 8_192
"""Rows of a page: those of 1,024 dims are 32 MB, half of what a server answers with."""

Rows = list[Mapping[str, Any]]


@dataclass(frozen=True)
class ReadRequest:
    """What is read: the rows of a collection that a filter is true of, ``how`` as pymilvus's arguments."""

    doing: str
    collection: str
    filter: str
    fields: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)


def read_rows(session: Session, request: ReadRequest, limit: int, offset: int = 0) -> Steps[Rows]:
    """At most ``limit`` rows after ``offset``, in no order. Raises StoreError.

    Pages are no snapshot: a row that is written meanwhile may be among them or not.
    """
    once = min(limit, MAX_ROWS - offset)
    if once > 0:
        rows: Rows = yield from _read_once(request, once, offset)
        if len(rows) < once or once == limit:
            return rows
    if (yield from session.is_lite()):
        # It has no window, and no order to page by.
        return (yield from _read_once(request, limit, offset))
    paged: Rows = yield Job(partial(_read_pages, request=request, limit=limit, offset=offset))
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
    """The rows by pymilvus's iterator, which goes by the primary key."""
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
