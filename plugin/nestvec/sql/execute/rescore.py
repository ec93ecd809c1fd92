"""A shortlist by a shorter vector, judged anew by the longest.

The second search has the shortlist's ids for its filter, so that Milvus works out the distances: they, and
the order, are those of a search by the longest vector. Milvus has no call that does both: its hybrid search
ranks each request's own hits (RRF or weights of both distances), and an index that refines (``HNSW_SQ``,
``IVF_PQ``, ``SCANN``) does so from the same field. So there are two round trips, or one where the first
search is sure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from nestvec.milvus.steps import Steps
from nestvec.sql.bind.vectors.targets import Sum
from nestvec.sql.execute.evaluate import ScoredRow
from nestvec.sql.execute.targets import resolve_targets
from nestvec.sql.plan.adaptive import shorten_target
from nestvec.sql.plan.filter import literal
from nestvec.sql.plan.nodes import Node, Rescore
from nestvec.sql.session import Session

RunNode = Callable[[Session, Node, Node | None], Steps[list[ScoredRow]]]
"""How a node is run, counted as another in the measured times."""


def run_rescore(run: RunNode, session: Session, node: Rescore) -> Steps[list[ScoredRow]]:
    """The rows of ``node.whole``, from the shortlist's; from the whole search where that gives too few.

    Raises what searches do.
    """
    full_search, shortlist = node.full_search, node.shortlist
    if isinstance(full_search.nearest.target, Sum):
        # Worked out once, at the full length; its first numbers are the shorter vector.
        sent = yield from resolve_targets(session, [full_search.nearest.target])
        vector = tuple(float(one) for one in sent[0])
        full_search = replace(full_search, nearest=replace(full_search.nearest, target=vector))
        nearest = replace(shortlist.nearest, target=shorten_target(vector, node.dim))
        shortlist = replace(shortlist, nearest=nearest)
    candidates = yield from run(session, shortlist, node.shortlist)
    if stops_early(node, candidates):
        return candidates[full_search.offset : full_search.offset + full_search.limit]
    if len(candidates) <= full_search.offset:
        return []
    ids = ", ".join(literal(one.row[node.primary_key]) for one in candidates)
    rows = yield from run(
        session, replace(full_search, filter=f"{node.primary_key} in [{ids}]"), node.full_search
    )
    if len(rows) < min(full_search.limit, len(candidates) - full_search.offset):
        # A row has gone since, or an index gives up on filters as narrow as this one.
        return (yield from run(session, full_search, node.full_search))
    return rows


def stops_early(node: Rescore, candidates: list[ScoredRow]) -> bool:
    """Whether the shortlist's own order will do: a gap lies between the rows wanted and the last of it."""
    end = node.full_search.offset + node.full_search.limit
    if node.early_stop_gap is None or len(candidates) < node.shortlist.limit or len(candidates) <= end:
        return False
    last, edge = candidates[-1].distance, candidates[end - 1].distance
    return last is not None and edge is not None and last - edge >= node.early_stop_gap
