"""Dual reading: a search by the old vectors and by those that are made anew already, fused by rank.

Every row comes from the collection of before: its values, whether it matches, whether it is there. The new
vectors only change the order. A row that is not embedded anew yet counts with its old rank twice, so that it
is not behind the others for that.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from nestvec.milvus.catalog import Table, table_steps
from nestvec.milvus.fingerprints import RecordedUpgrade
from nestvec.milvus.steps import Steps, call
from nestvec.sql.bind.vectors.embed import request_for
from nestvec.sql.bind.vectors.targets import EmbeddedText
from nestvec.sql.execute.choose_search import table_of
from nestvec.sql.execute.read import ids_filter
from nestvec.sql.execute.rows import ScoredRow
from nestvec.sql.execute.search import resolve_targets, run_hybrid, run_search
from nestvec.sql.execute.timing import note_done
from nestvec.sql.plan.nodes import HybridSearch, Node, Rescore, VectorSearch
from nestvec.sql.plan.reading_statistics import stored_reading
from nestvec.sql.session import Session
from nestvec_schemas.errors import CollectionNotFound, SqlUnknownName, StoreError

_RRF_K: Final = 60
"""Of reciprocal rank fusion (Cormack et al. 2009)."""

_MIN_POOL: Final = 50
"""Rows of each search that are fused, at least."""

_BY_DISTANCE: Final = (
    "a statement that DuckDB computes, or LATERAL, is ordered by the distance to the old vectors"
)


def run_vector_search(session: Session, node: VectorSearch) -> Steps[list[ScoredRow]]:
    """The rows of a search; fused with the new vectors' if its column is being upgraded and the session reads
    both. Raises as ``run_search``."""
    if session.settings.index.dual_reading != "off":
        fused = yield from _dual_search(session, node)
        if fused is not None:
            return fused
    return (yield from run_search(session, node))


def _dual_search(session: Session, node: VectorSearch) -> Steps[list[ScoredRow] | None]:
    """None where there are no new vectors, or what is searched for is not fused, which a notice says."""
    table = yield from table_of(session, node.collection)
    upgrade, target = _upgrade(table, node.nearest.column), node.nearest.target
    if upgrade is None or node.limit <= 0 or not _is_fused(session, table, node.nearest.column, upgrade):
        return None
    text = target.text if isinstance(target, EmbeddedText) else target
    unfused = _unfused(node)
    if unfused or not isinstance(text, str):
        _note(session, table, node.nearest.column, unfused or "what is searched for is a vector, not a text")
        return None
    new_table = yield from _read_target(session, table, node, upgrade)
    if new_table is None:
        return None
    key, pool = table.primary.name, max(_MIN_POOL, node.limit + node.offset)
    wide = replace(node, fields=tuple(dict.fromkeys((*node.fields, key))), limit=pool, offset=0)
    rows = yield from run_search(session, wide)
    keys = [row.row[key] for row in rows]
    try:
        ranks = yield from _search_new(session, wide, new_table, text)
        copied = yield from _copied(session, new_table, keys)
    except (StoreError, SqlUnknownName) as error:
        # As a rule the upgrade has ended meanwhile: what it filled is gone, or has the name.
        _note(session, table, node.nearest.column, f"{upgrade.target} cannot be searched: {error.cause}")
        return None
    by_old = set(keys)
    missing = [name for name in ranks if name not in by_old]
    if missing:
        among = ids_filter(table, missing)
        condition = f"({node.filter}) and {among}" if node.filter else among
        rows = [*rows, *(yield from run_search(session, replace(wide, filter=condition, limit=len(missing))))]
    note_done(f"fused with {len(ranks)} rows of {upgrade.target} by rank")
    fused = _fused(rows, key, ranks, copied, pool)
    return fused[node.offset : node.offset + node.limit]


def old_reading(session: Session, table: Table, columns: Iterable[str], why: str = _BY_DISTANCE) -> Session:
    """The session without dual reading, for what is not fused; a notice says ``why`` if one of these columns
    is being upgraded."""
    if session.settings.index.dual_reading == "off":
        return session
    for column in columns:
        upgrade = _upgrade(table, column)
        if upgrade is not None and _is_fused(session, table, column, upgrade):
            _note(session, table, column, why)
    index = replace(session.settings.index, dual_reading="off")
    reading = copy.copy(session)
    reading.settings = replace(session.settings, index=index)
    return reading


def run_hybrid_search(session: Session, node: HybridSearch) -> Steps[list[ScoredRow]]:
    """The rows of several searches, by the old vectors alone, as a notice says. Raises as ``run_hybrid``."""
    if session.settings.index.dual_reading != "off":
        table, why = (yield from table_of(session, node.collection)), "a search that Milvus fuses or scores"
        old_reading(session, table, searched_columns(node), f"{why} is by the old vectors")
    return (yield from run_hybrid(session, node))


def searched_columns(node: Node) -> tuple[str, ...]:
    """The columns by which a search ranks; none of another node."""
    if isinstance(node, Rescore):
        return searched_columns(node.shortlist) + searched_columns(node.full_search)
    if isinstance(node, HybridSearch):
        return tuple(part.nearest.column for part in node.parts)
    return (node.nearest.column,) if isinstance(node, VectorSearch) else ()


def _upgrade(table: Table, column: str) -> RecordedUpgrade | None:
    """The upgrade that makes the vectors of a column anew."""
    embedding = table.embedding(column)
    upgrade = None if embedding is None else embedding.upgrade
    return None if upgrade is None or upgrade.target is None else upgrade


def _is_fused(session: Session, table: Table, column: str, upgrade: RecordedUpgrade) -> bool:
    """Whether the settings have searches by a column fused; a notice says so where ANALYZE did not measure
    what ``auto`` depends on."""
    if session.settings.index.dual_reading == "on":
        return True
    statistics = stored_reading(table, column, upgrade)
    if statistics is None:
        _note(session, table, column, f"run ANALYZE {table.name}, which measures whether it finds more")
        return False
    note_done(f"dual reading: {statistics.words}")
    return statistics.fuses


def _unfused(node: VectorSearch) -> str:
    """Why a search is not fused; empty for one that is."""
    if node.group:
        return "a search of groups is by the old vectors"
    if node.exact:
        return "a search with a threshold is by the old vectors"
    return "a search with highlights is by the old vectors" if node.highlight else ""


def _note(session: Session, table: Table, column: str, why: str) -> None:
    session.notices.note(f"nestvec.dual_reading does not apply to {table.name}.{column}: {why}")


def _read_target(
    session: Session, table: Table, node: VectorSearch, upgrade: RecordedUpgrade
) -> Steps[Table | None]:
    """The collection that has the new vectors, as it is now: the session may hold that of an upgrade that
    was stopped. None, with a notice, if it is not there, or another change has its name."""
    target, column = upgrade.target or "", node.nearest.column
    try:
        new = yield from table_steps(target)
    except CollectionNotFound:
        why = f"there is no collection {target}; no row is embedded anew yet, or the upgrade has ended"
    except StoreError as error:
        why = f"{target} cannot be read: {error.cause}"
    else:
        embedding = new.embedding(column)
        own = new.name == table.name or (embedding is not None and embedding.upgrade is not None)
        if not own and embedding is not None and embedding.config.encoder == upgrade.encoder:
            return new
        why = f"another change has taken the name {target}, which has no vectors of {upgrade.encoder}"
    _note(session, table, column, why)
    return None


def _search_new(session: Session, node: VectorSearch, table: Table, text: str) -> Steps[dict[Any, int]]:
    """The ranks of the nearest rows by the new vectors, by key. Raises StoreError, ServiceError."""
    embedding, column, key = table.embedding(node.nearest.column), node.nearest.column, table.primary.name
    if embedding is None:
        return {}
    yield from session.ensure_loaded(table.name)
    (vector,) = yield from resolve_targets(session, [EmbeddedText(text, request_for(embedding))])
    (hits,) = yield call(
        f"searching collection {table.name}",
        "search",
        table.name,
        data=[vector],
        anns_field=column,
        filter=node.filter,
        limit=node.limit,
        output_fields=[key],
        search_params={"metric_type": table.metrics.get(column, node.nearest.metric)},
    )
    return {hit["entity"][key]: rank for rank, hit in enumerate(hits)}


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

    def score_of(place: int, name: Any) -> float:
        old = share(place if place < pool else None)
        new = share(ranks.get(name)) if name in copied or name in ranks else old
        return old + new

    scored = [(score_of(place, row.row[key]), place) for place, row in enumerate(rows)]
    ranked = sorted(scored, key=lambda entry: (-entry[0], entry[1]))
    return [rows[place]._replace(fused=score) for score, place in ranked]
