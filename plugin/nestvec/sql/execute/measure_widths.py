"""Measures how widely an index must be searched for a recall, without a filter and under filters.

The truth is every vector, compared in numpy. Queries are stored vectors with noise; filters are ranges of the
primary key, which every collection has.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pymilvus import MilvusClient

from nestvec.milvus.catalog import Column, Table
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.steps import BlockingCall, Steps
from nestvec.sql.bind.vectors.distance import DistanceRanking
from nestvec.sql.execute.choose_search import count_matching, searched_index
from nestvec.sql.execute.distances import decode_vectors
from nestvec.sql.execute.exact_scan import Nearest, vector_pages
from nestvec.sql.execute.read import ReadRequest
from nestvec.sql.execute.sampling import SEED, sample_keys
from nestvec.sql.execute.search import DISTANCE_OF_SCORE
from nestvec.sql.plan.filter import literal
from nestvec.sql.plan.index_kinds import IndexKind, Workload, search_params, within_limits
from nestvec.sql.plan.recall import lower_bound
from nestvec.sql.plan.search_method import SearchedIndex, refined_count
from nestvec.sql.plan.width_statistics import SELECTIVITIES, FilteredRecall, WidthRecall, WidthStatistics
from nestvec.sql.session import Session

QUERIES: Final = 64
_CELLS: Final = 64
"""Ranges of the primary key that filters are made of."""
_NEIGHBOURS: Final = 10
_MIN_MATCHING: Final = 200
"""Rows below which a filter's rows are compared one by one anyway."""
_MAX_BYTES: Final = 2 << 30
"""Vectors that are read for the truth; they are not kept."""
_NOISE: Final = 0.25
"""Length of the noise in a query, relative to the vector."""
_NARROWEST: Final = 16
_WIDEST: Final = 8_192
_ENOUGH: Final = 0.999
"""Recall beyond which nothing wider is measured."""
_TIE: Final = 1e-5
"""Rows whose distances differ by less are equally good."""


@dataclass(frozen=True)
class SampledFilter:
    """A filter on the primary key."""

    text: str
    passes: Callable[[Any], bool]


@dataclass
class _Truth:
    """The nearest rows of every query among those that pass one filter."""

    filter: SampledFilter
    nearest: list[Nearest]
    matching: int = 0

    def good_keys(self, key: str) -> list[set[Any]]:
        """For each query, the keys of its nearest rows."""
        return [{row[key] for _, row in ranked.nearest()} for ranked in self.nearest]

    def last_distances(self) -> list[float]:
        """For each query, the distance of the last of its nearest rows."""
        return [max((distance for distance, _ in ranked.nearest()), default=0.0) for ranked in self.nearest]


@dataclass(frozen=True)
class _Measured:
    """What is measured."""

    table: Table
    column: Column
    index: SearchedIndex
    rows: int
    lite: bool


def measure_widths(session: Session, table: Table, column: Column) -> Steps[WidthStatistics | None]:
    """Recall@10 by width and filter; None where there is nothing to choose, or too much to compare."""
    metric = table.metrics.get(column.name, "")
    if not metric:
        return None
    index = yield from searched_index(session, table, DistanceRanking(column.name, metric, ""))
    rows = yield from count_matching(session, table.name, "", fresh=True)
    lite = yield from session.is_lite()
    if lite and index.kind.complete_width:
        # Searched by every list anyway.
        return None
    if index.kind.exact or not index.kind.parameter or not 0 < index.row_bytes * rows <= _MAX_BYTES:
        return None
    measured = _Measured(table, column, index, rows, lite)
    statistics: WidthStatistics = yield BlockingCall(lambda client: _measure(client, measured, metric))
    return statistics


def _measure(client: MilvusClient, measured: _Measured, metric: str) -> WidthStatistics:
    table, column = measured.table, measured.column
    rng = random.Random(SEED)  # noqa: S311 - a sample, no secret
    with milvus_errors(f"measuring searches of {table.name}"):
        keys, _ = sample_keys(client, table, 4 * QUERIES, rng)
        queries = _queries(client, measured, keys[:QUERIES])
        truths = [
            _Truth(sampled, [Nearest(query, metric, _NEIGHBOURS) for query in queries])
            for sampled in sampled_filters(table.primary.name, keys, rng)
        ]
        _compare_all(client, measured, truths)
        entries = tuple(
            FilteredRecall(
                selectivity=min(1.0, truth.matching / max(measured.rows, 1)),
                widths=tuple(_widths(client, measured, truth, queries, metric)),
            )
            for truth in truths
            if queries and truth.matching >= min(_MIN_MATCHING, measured.rows)
        )
    return WidthStatistics(
        column=column.name,
        index=measured.index.name,
        rows=measured.rows,
        queries=len(queries),
        measured=entries,
    )


def sampled_filters(name: str, keys: Sequence[Any], rng: random.Random) -> Iterator[SampledFilter]:
    """Filters that let about the shares ``SELECTIVITIES`` of the rows pass, from a sample of the keys.

    Each is a union of ranges of the key ``name``, chosen at random among ranges of about as many rows each.
    """
    yield SampledFilter("", lambda key: True)
    ordered = sorted(set(keys), key=_in_order)
    cells = min(_CELLS, len(ordered))
    bounds = [ordered[number * len(ordered) // cells] for number in range(1, cells)]
    for share in SELECTIVITIES[1:]:
        chosen = sorted(rng.sample(range(cells), max(1, round(share * cells)))) if cells > 1 else []
        if chosen:
            terms = (_range(name, bounds, cell) for cell in chosen)
            yield SampledFilter(" or ".join(terms), partial(_is_in, bounds, frozenset(chosen)))


def _in_order(key: Any) -> Any:
    """What Milvus orders keys by: numbers, or the bytes of a text."""
    return key.encode() if isinstance(key, str) else key


def _range(name: str, bounds: Sequence[Any], cell: int) -> str:
    low = f"{name} >= {literal(bounds[cell - 1])}" if cell else ""
    high = f"{name} < {literal(bounds[cell])}" if cell < len(bounds) else ""
    return f"({low} and {high})" if low and high else f"({low or high})"


def _is_in(bounds: Sequence[Any], cells: frozenset[int], key: Any) -> bool:
    return bisect_right(bounds, _in_order(key), key=_in_order) in cells


def _queries(client: MilvusClient, measured: _Measured, keys: Sequence[Any]) -> list[NDArray[Any]]:
    """Stored vectors, each with noise that is the same in every run."""
    table, column = measured.table, measured.column
    listed = ", ".join(literal(key) for key in keys)
    if not keys:
        return []
    rows = client.query(
        table.name, filter=f"{table.primary.name} in [{listed}]", output_fields=[column.name], limit=len(keys)
    )
    values = [row[column.name] for row in rows if row.get(column.name) is not None]
    if not values:
        return []
    vectors = decode_vectors(column.type, values)
    generator = np.random.default_rng(SEED)
    if column.type == "BINARY_VECTOR":
        flipped = generator.random(vectors.shape) < _NOISE / 4
        return list(np.where(flipped, 1 - vectors, vectors).astype(np.uint8))
    noise = generator.standard_normal(vectors.shape).astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)
    return list((vectors + noise * lengths * _NOISE).astype(np.float32))


def _compare_all(client: MilvusClient, measured: _Measured, truths: Sequence[_Truth]) -> None:
    key, column = measured.table.primary.name, measured.column
    request = ReadRequest("", measured.table.name, "", (key, column.name))
    for page in vector_pages(client, request, column, lite=measured.lite):
        vectors = decode_vectors(column.type, [row[column.name] for row in page])
        rows = [{key: row[key]} for row in page]
        for truth in truths:
            chosen = [number for number, row in enumerate(rows) if truth.filter.passes(row[key])]
            truth.matching += len(chosen)
            if chosen:
                passing = [rows[number] for number in chosen]
                for nearest in truth.nearest:
                    nearest.add(vectors[chosen], passing)


def _ladder(kind: IndexKind, measured: _Measured, workload: Workload) -> Iterator[int]:
    """Widths, each twice as large as the one before, up to all that there is."""
    if kind.parameter == "nprobe":
        largest, width = measured.index.lists, 1
    else:
        largest, width = within_limits(kind, workload, _WIDEST), _NARROWEST
    while width < largest:
        yield within_limits(kind, workload, width) if kind.parameter != "nprobe" else width
        width *= 2
    yield largest


def _widths(
    client: MilvusClient, measured: _Measured, truth: _Truth, queries: Sequence[NDArray[Any]], metric: str
) -> Iterator[WidthRecall]:
    """Recall of ever wider searches, until the next would hardly be better."""
    table, index = measured.table, measured.index
    key = table.primary.name
    workload = Workload(_NEIGHBOURS, measured.rows, truth.matching, 1.0, lite=measured.lite)
    good_keys, last_distances = truth.good_keys(key), truth.last_distances()
    # Of a compressed index more candidates are put in order by their stored vectors.
    limit = refined_count(_NEIGHBOURS) if index.kind.compressed else _NEIGHBOURS
    workload = replace(workload, count=limit)
    for width in dict.fromkeys(_ladder(index.kind, measured, workload)):
        hit_lists = client.search(
            table.name,
            data=[_sent(measured.column, query) for query in queries],
            anns_field=measured.column.name,
            filter=truth.filter.text,
            limit=limit,
            output_fields=[key],
            search_params={"metric_type": metric, "params": search_params(index.name, width, workload)},
        )
        shares = np.array(
            [
                _share(hits, key, good, math.inf if index.kind.compressed else last, metric)
                for hits, good, last in zip(hit_lists, good_keys, last_distances, strict=True)
            ]
        )
        floor = lower_bound(shares)
        yield WidthRecall(width=width, mean=float(shares.mean()), floor=floor)
        if floor >= _ENOUGH:
            return


def _share(hits: Sequence[Any], key: str, good: set[Any], last: float, metric: str) -> float:
    """The share of places of the truth that hold a row of it, or one that is as near as ``last``, its last.

    ``last`` is infinite where the distances of the hits are those of compressed vectors.
    """
    reach = -math.inf if math.isinf(last) else last + _TIE * max(1.0, abs(last))
    to_distance = DISTANCE_OF_SCORE[metric]
    right = sum(hit["entity"][key] in good or to_distance(float(hit["distance"])) <= reach for hit in hits)
    return min(right, len(good)) / max(len(good), 1)


def _sent(column: Column, query: NDArray[Any]) -> Any:
    if column.type == "BINARY_VECTOR":
        return np.packbits(query).tobytes()
    if column.type == "INT8_VECTOR":
        return query.round().clip(-128, 127).astype(np.int8)
    return query.astype(np.float16) if column.type == "FLOAT16_VECTOR" else query.tolist()
