"""Dual reading: a search by the old vectors and by those that are made anew already, fused by rank.

Every row comes from the collection of before: its values, whether it matches, whether it is there. The new
vectors only change the order. A row that is not embedded anew yet counts with its old rank twice, so that it
is not behind the others for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from nestvec.milvus.catalog import Table, table_steps
from nestvec.milvus.steps import Steps, call
from nestvec.sql.bind.vectors.embed import request_for
from nestvec.sql.bind.vectors.targets import EmbeddedText
from nestvec.sql.execute.choose_search import table_of
from nestvec.sql.execute.read import ids_filter
from nestvec.sql.execute.rows import ScoredRow
from nestvec.sql.execute.search import resolve_targets, run_search
from nestvec.sql.execute.timing import note_done
from nestvec.sql.plan.nodes import VectorSearch
from nestvec.sql.session import Session
from nestvec_schemas.errors import SqlUnknownName, StoreError

_RRF_K: Final = 60
"""Of reciprocal rank fusion (Cormack et al. 2009)."""

_MIN_POOL: Final = 50
"""Rows of each search that are fused, at least."""


@dataclass(frozen=True)
class NewVectors:
    """What the vectors that are made anew say of a query."""

    ranks: Mapping[Any, int]
    """The rank of each nearest row, by key."""

    table: Table


def run_vector_search(session: Session, node: VectorSearch) -> Steps[list[ScoredRow]]:
    """The rows of a search; fused with the new vectors' if its column is being upgraded and the session reads
    both. Raises as ``run_search``."""
    reads_both = session.settings.index.dual_reading == "on"
    if reads_both and not (node.group or node.exact or node.highlight):
        fused = yield from _dual_search(session, node)
        if fused is not None:
            return fused
    return (yield from run_search(session, node))


def _dual_search(session: Session, node: VectorSearch) -> Steps[list[ScoredRow] | None]:
    """None where there are no new vectors, or no text to search for."""
    table = yield from table_of(session, node.collection)
    embedding = table.embedding(node.nearest.column)
    target = node.nearest.target
    text = target.text if isinstance(target, EmbeddedText) else target
    upgrade = None if embedding is None else embedding.upgrade
    if upgrade is None or upgrade.target is None or not isinstance(text, str) or node.limit <= 0:
        return None
    key, pool = table.primary.name, max(_MIN_POOL, node.limit + node.offset)
    wide = replace(node, fields=tuple(dict.fromkeys((*node.fields, key))), limit=pool, offset=0)
    rows = yield from run_search(session, wide)
    try:
        new = yield from _search_new(session, wide, upgrade.target, text, key)
        copied = yield from _copied(session, new.table, [row.row[key] for row in rows])
    except (StoreError, SqlUnknownName):
        # The upgrade ended meanwhile: what it filled is gone, or has the name.
        return None
    missing = [name for name in new.ranks if name not in {row.row[key] for row in rows}]
    if missing:
        among = ids_filter(table, missing)
        condition = f"({node.filter}) and {among}" if node.filter else among
        rows = [*rows, *(yield from run_search(session, replace(wide, filter=condition, limit=len(missing))))]
    note_done(f"fused with {len(new.ranks)} rows of {upgrade.target} by rank")
    fused = _fused(rows, key, new.ranks, copied, pool)
    return fused[node.offset : node.offset + node.limit]


def _search_new(
    session: Session, node: VectorSearch, collection: str, text: str, key: str
) -> Steps[NewVectors]:
    """The nearest rows by the new vectors. Raises StoreError, ServiceError."""
    # The session may hold that of an upgrade that was stopped, to another encoder.
    table = yield from table_steps(collection)
    embedding, column = table.embedding(node.nearest.column), node.nearest.column
    if embedding is None:
        return NewVectors({}, table)
    yield from session.ensure_loaded(collection)
    (vector,) = yield from resolve_targets(session, [EmbeddedText(text, request_for(embedding))])
    (hits,) = yield call(
        f"searching collection {collection}",
        "search",
        collection,
        data=[vector],
        anns_field=column,
        filter=node.filter,
        limit=node.limit,
        output_fields=[key],
        search_params={"metric_type": table.metrics.get(column, node.nearest.metric)},
    )
    return NewVectors({hit["entity"][key]: rank for rank, hit in enumerate(hits)}, table)


def _copied(session: Session, table: Table, keys: Sequence[Any]) -> Steps[set[Any]]:
    """Which of these rows have new vectors."""
    if not keys:
        return set()
    name = table.primary.name
    rows = yield call(
        f"reading {table.name}", "query", table.name, filter=ids_filter(table, keys), output_fields=[name]
    )
    return {row[name] for row in rows}


def _fused(
    rows: Sequence[ScoredRow], key: str, ranks: Mapping[Any, int], copied: set[Any], pool: int
) -> list[ScoredRow]:
    """The rows by the sum of their reciprocal ranks, best first."""

    def share(rank: int | None) -> float:
        return 0.0 if rank is None else 1 / (_RRF_K + 1 + rank)

    def score(place: int, name: Any) -> float:
        old = share(place if place < pool else None)
        new = share(ranks.get(name)) if name in copied or name in ranks else old
        return old + new

    scored = [(score(place, row.row[key]), place) for place, row in enumerate(rows)]
    return [rows[place] for _, place in sorted(scored, key=lambda entry: (-entry[0], entry[1]))]
