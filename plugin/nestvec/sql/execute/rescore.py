"""Rescoring: a shortlist by a shorter vector, put in order by the longest.

The second search is filtered by the ids of the shortlist, so that Milvus computes the distances: they and the
order are those of a search by the longest vector. Milvus has no call that does both: its hybrid search ranks
the hits of each request (by RRF or weights), and an index that refines (``HNSW_SQ``, ``IVF_PQ``, ``SCANN``)
does so from the same field. So there are two round trips, or one if the first search stops early.
"""

from __future__ import annotations

from dataclasses import replace

from nestvec.milvus.steps import Steps
from nestvec.sql.bind.vectors.targets import VectorSum
from nestvec.sql.execute.choose_search import table_of
from nestvec.sql.execute.read import ids_filter
from nestvec.sql.execute.rows import ScoredRow
from nestvec.sql.execute.search import resolve_targets
from nestvec.sql.execute.timing import RunNode
from nestvec.sql.execute.upgrades.dual_reading import old_reading, searched_columns
from nestvec.sql.plan.adaptive import shorten_target
from nestvec.sql.plan.nodes import Rescore
from nestvec.sql.session import Session


def run_rescore(run: RunNode, session: Session, node: Rescore) -> Steps[list[ScoredRow]]:
    """The rows of the full search, read from the shortlist, or by the full search if that gives too few.

    Raises what a search raises.
    """
    full_search, shortlist = node.full_search, node.shortlist
    table = yield from table_of(session, full_search.collection)
    why = "a search by a shortlist is by the old vectors"
    session = old_reading(session, table, searched_columns(node), why)
    if isinstance(full_search.nearest.target, VectorSum):
        # Computed once, at the full length: the shorter vector is its first numbers.
        search_data = yield from resolve_targets(session, [full_search.nearest.target])
        vector = tuple(float(number) for number in search_data[0])
        full_search = replace(full_search, nearest=replace(full_search.nearest, target=vector))
        nearest = replace(shortlist.nearest, target=shorten_target(vector, node.dim))
        shortlist = replace(shortlist, nearest=nearest)
    candidates = yield from run(session, shortlist, node.shortlist)
    if stops_early(node, candidates):
        return candidates[full_search.offset : full_search.offset + full_search.limit]
    if len(candidates) <= full_search.offset:
        return []
    ids = [candidate.row[node.primary_key] for candidate in candidates]
    # Exact: the shortlist is where rows may be missed.
    among = replace(full_search, filter=ids_filter(table, ids), exact=True)
    key = (among.collection, among.filter, session.settings.partitions)
    session.search_cache.remember(key, len(candidates))
    rows = yield from run(session, among, node.full_search)
    if len(rows) < min(full_search.limit, len(candidates) - full_search.offset):
        # A row was deleted meanwhile, or the index gives up on so narrow a filter.
        return (yield from run(session, full_search, node.full_search))
    return rows


def stops_early(node: Rescore, candidates: list[ScoredRow]) -> bool:
    """Whether the shortlist's own order is kept: a wide gap separates the rows wanted from its last row."""
    end = node.full_search.offset + node.full_search.limit
    if node.early_stop_gap is None or len(candidates) < node.shortlist.limit or len(candidates) <= end:
        return False
    last, edge = candidates[-1].distance, candidates[end - 1].distance
    return last is not None and edge is not None and last - edge >= node.early_stop_gap
