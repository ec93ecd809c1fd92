"""Rows by a filter: at once as far as Milvus's window reaches, page by page beyond it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from pymilvus import MilvusClient

from nestvec.milvus import milvus_errors
from nestvec.sql.bind.clauses import MAX_ROWS
from nestvec.sql.session import Session
from nestvec.steps import Job, Steps, call

_PAGE: Final = 8_192
"""Rows of a page: those of 1,024 dims are 32 MB, half of what a server answers with."""

Rows = list[Mapping[str, Any]]


@dataclass(frozen=True)
class Wanted:
    """What is read: the rows of a collection that a filter is true of, ``how`` as pymilvus's arguments."""

    doing: str
    collection: str
    filter: str
    fields: Sequence[str]
    how: Mapping[str, Any] = field(default_factory=dict)


def read_rows(session: Session, wanted: Wanted, limit: int, offset: int = 0) -> Steps[Rows]:
    """At most ``limit`` rows after ``offset``, in no order. Raises StoreError.

    Pages are no snapshot: a row that is written meanwhile may be among them or not.
    """
    once = min(limit, MAX_ROWS - offset)
    if once > 0:
        found: Rows = yield from _once(wanted, once, offset)
        if len(found) < once or once == limit:
            return found
    if (yield from session.lite()):
        # It has no window, and no order to page by.
        return (yield from _once(wanted, limit, offset))
    paged: Rows = yield Job(partial(_pages, wanted=wanted, limit=limit, offset=offset))
    return paged


def _once(wanted: Wanted, limit: int, offset: int) -> Steps[Rows]:
    found = yield call(
        wanted.doing,
        "query",
        wanted.collection,
        filter=wanted.filter,
        output_fields=list(wanted.fields),
        limit=limit,
        offset=offset,
        **wanted.how,
    )
    return list(found)


def _pages(client: MilvusClient, wanted: Wanted, limit: int, offset: int) -> Rows:
    """The rows by pymilvus's iterator, which goes by the primary key."""
    rows: Rows = []
    with milvus_errors(wanted.doing):
        pages = client.query_iterator(
            wanted.collection,
            batch_size=_PAGE,
            limit=limit + offset,
            filter=wanted.filter,
            output_fields=list(wanted.fields),
            **wanted.how,
        )
        try:
            while page := pages.next():
                passed = min(offset, len(page))
                offset -= passed
                rows += page[passed:]
        finally:
            pages.close()
    return rows
