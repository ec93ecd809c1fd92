"""Exact searches: the matching rows' vectors are read page by page, and compared in numpy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pymilvus import MilvusClient, MilvusException

from nestvec.milvus.catalog import Column, Table
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.steps import BlockingCall, Steps
from nestvec.sql.execute.distances import decode_vectors, distances
from nestvec.sql.execute.read import ReadRequest, query_rows, read_by_ids, with_dynamic_fields
from nestvec.sql.execute.rows import ScoredRow
from nestvec.sql.plan.nodes import VectorSearch
from nestvec.sql.session import Session

_PAGE_BYTES: Final = 16 << 20
_MAX_PAGE_ROWS: Final = 8_192

_SMALL_ROWS: Final = 1_000
"""Rows that are read at once, with all the columns of the result."""

_SPARE_ROWS: Final = 16
"""Rows kept beyond those wanted: a row may be deleted before its other columns are read."""

Row = dict[str, Any]


@dataclass
class Nearest:
    """The nearest rows of one query among those that were added."""

    query: NDArray[Any]
    metric: str
    keep: int
    """How many are kept."""
    group: str = ""
    """The column whose every value keeps its nearest row; empty to keep every row."""
    _rows: list[tuple[float, Row]] = field(default_factory=list)
    _groups: dict[Any, tuple[float, Row]] = field(default_factory=dict)

    def add(self, vectors: NDArray[Any], rows: Sequence[Row]) -> None:
        """Compare (n, dim) vectors, one per row."""
        with np.errstate(over="ignore", invalid="ignore"):
            rough = distances(self.metric, self.query, vectors)
        order = np.argsort(rough, kind="stable")
        # By 32 bits, unless they overflow, the nearest are told; their distances have 64, as elsewhere.
        candidates = order[: self.keep] if not self.group and np.isfinite(rough).all() else order
        wide = vectors[candidates].astype(np.float64)
        precise = distances(self.metric, self.query.astype(np.float64), wide).tolist()
        new = [(distance, rows[at]) for distance, at in zip(precise, candidates.tolist(), strict=True)]
        if self.group:
            for entry in new:
                best = self._groups.setdefault(entry[1][self.group], entry)
                if _in_order(entry) < _in_order(best):
                    self._groups[entry[1][self.group]] = entry
            return
        # Stable: rows at the same distance stay in the order in which they were read.
        self._rows = sorted(self._rows + new, key=_in_order)[: self.keep]

    def nearest(self) -> list[tuple[float, Row]]:
        """Distances and rows, nearest first."""
        if not self.group:
            return self._rows
        return sorted(self._groups.values(), key=_in_order)[: self.keep]


def _in_order(entry: tuple[float, Row]) -> tuple[bool, float]:
    """By distance; NaN, which other clients may store, is last."""
    return (math.isnan(entry[0]), entry[0])


@dataclass(frozen=True)
class ScannedColumn:
    """What is scanned: a vector column, and the metric of the search."""

    table: Table
    column: Column
    metric: str


def scan_nearest(
    session: Session, node: VectorSearch, scanned: ScannedColumn, queries: Sequence[Any], matching: int
) -> Steps[list[list[ScoredRow]]]:
    """The rows of an exact search for each of several queries.

    ``queries`` are vectors, or bytes for bits; ``matching`` is about how many rows pass the filter. A row
    without a vector is not in the result. Raises StoreError.
    """
    column, table = scanned.column, scanned.table
    end = node.limit + node.offset
    ranked = [
        Nearest(_query_array(column, query), scanned.metric, end + _SPARE_ROWS, node.group)
        for query in queries
    ]
    doing = f"comparing the vectors of {node.collection}"
    small = matching <= _SMALL_ROWS
    # Of few rows everything is read at once; of many the other columns are read for the nearest only.
    others = node.fields if small else (table.primary.name, *([node.group] if node.group else []))
    fields = tuple(dict.fromkeys((*others, table.primary.name, column.name)))
    request = ReadRequest(doing, node.collection, node.filter, fields, session.read_options())
    if small:
        rows = yield from query_rows(session, request, 2 * _SMALL_ROWS)
        if len(rows) < 2 * _SMALL_ROWS:
            _add_page(ranked, column, with_dynamic_fields(session, node.collection, fields, rows))
            return [_scored(node, nearest.nearest()) for nearest in ranked]
        # There are more rows than were counted: the vectors are read in pages.
        request = replace(request, fields=(table.primary.name, column.name))
    lite = yield from session.is_lite()
    yield BlockingCall(partial(_scan_pages, request=request, column=column, ranked=ranked, lite=lite))
    results = []
    for nearest in ranked:
        results.append((yield from _with_fields(session, node, table, nearest.nearest())))
    return results


def _scored(node: VectorSearch, nearest: Sequence[tuple[float, Row]]) -> list[ScoredRow]:
    rows = nearest[node.offset : node.offset + node.limit]
    return [ScoredRow({name: row.get(name) for name in node.fields}, distance) for distance, row in rows]


def _with_fields(
    session: Session, node: VectorSearch, table: Table, nearest: Sequence[tuple[float, Row]]
) -> Steps[list[ScoredRow]]:
    """The rows wanted with all their columns."""
    key = table.primary.name
    if set(node.fields) <= {key}:
        return _scored(node, nearest)
    rows = yield from read_by_ids(session, table, [row[key] for _, row in nearest], node.fields)
    return _scored(node, [(distance, rows[row[key]]) for distance, row in nearest if row[key] in rows])


def _query_array(column: Column, query: Any) -> NDArray[Any]:
    if column.type == "BINARY_VECTOR":
        return np.unpackbits(np.frombuffer(query, np.uint8))
    return np.asarray(query, np.float32)


def _add_page(ranked: Sequence[Nearest], column: Column, page: Sequence[Any]) -> None:
    rows = [dict(row) for row in page if row.get(column.name) is not None]
    if not rows:
        return
    vectors = decode_vectors(column.type, [row[column.name] for row in rows])
    for nearest in ranked:
        nearest.add(vectors, rows)


def _scan_pages(
    client: MilvusClient, request: ReadRequest, column: Column, ranked: Sequence[Nearest], lite: bool
) -> None:
    with milvus_errors(request.doing):
        for page in vector_pages(client, request, column, lite=lite):
            vectors = decode_vectors(column.type, [row[column.name] for row in page])
            # The vectors of a page are not kept.
            rows = [{name: value for name, value in row.items() if name != column.name} for row in page]
            for nearest in ranked:
                nearest.add(vectors, rows)


def vector_pages(
    client: MilvusClient, request: ReadRequest, column: Column, *, lite: bool
) -> Iterator[list[Row]]:
    """The rows that match and have a vector, page by page, from pymilvus's iterator."""
    size = max(1, min(_MAX_PAGE_ROWS, _PAGE_BYTES // max(1, 4 * (column.dim or 1))))
    if lite:
        # Milvus Lite evaluates the filter of each page on every row: one request reads them all.
        try:
            yield from _pages_of_one(client, request, column, size)
        except MilvusException as error:
            # A server of version 2 that a Python package carries calls itself lite, and has a window.
            if "query result window" not in str(error):
                raise
        else:
            return
    pages = client.query_iterator(
        request.collection,
        batch_size=size,
        filter=request.filter,
        output_fields=list(request.fields),
        **request.options,
    )
    try:
        while page := pages.next():
            yield [row for row in page if row.get(column.name) is not None]
    finally:
        pages.close()


def _pages_of_one(
    client: MilvusClient, request: ReadRequest, column: Column, size: int
) -> Iterator[list[Row]]:
    counted = client.query(
        request.collection, filter=request.filter, output_fields=["count(*)"], **request.options
    )
    rows = client.query(
        request.collection,
        filter=request.filter,
        output_fields=list(request.fields),
        limit=max(1, int(counted[0]["count(*)"])),
        # numpy's vectors: lists of Python's numbers take longer to make than the rows to read.
        strict_float32=True,
        **request.options,
    )
    for start in range(0, len(rows), size):
        page = (rows[number] for number in range(start, min(start + size, len(rows))))
        yield [dict(row) for row in page if row.get(column.name) is not None]
