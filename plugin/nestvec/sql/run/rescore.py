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

from nestvec.sql.bind.targets import Sum
from nestvec.sql.plan.adaptive import cut
from nestvec.sql.plan.filter import literal
from nestvec.sql.plan.nodes import Node, Rescore
from nestvec.sql.run.evaluate import Found
from nestvec.sql.run.targets import resolved
from nestvec.sql.session import Session
from nestvec.steps import Steps

Run = Callable[[Session, Node, Node | None], Steps[list[Found]]]
"""How a node is run, counted as another in the measured times."""


def run_rescore(run: Run, session: Session, node: Rescore) -> Steps[list[Found]]:
    """The rows of ``node.whole``, from the shortlist's; from the whole search where that gives too few.

    Raises what searches do.
    """
    whole, shortlist = node.whole, node.shortlist
    if isinstance(whole.nearest.target, Sum):
        # Worked out once, at the full length; its first numbers are the shorter vector.
        sent = yield from resolved(session, [whole.nearest.target])
        vector = tuple(float(one) for one in sent[0])
        whole = replace(whole, nearest=replace(whole.nearest, target=vector))
        near = replace(shortlist.nearest, target=cut(vector, node.dim))
        shortlist = replace(shortlist, nearest=near)
    listed = yield from run(session, shortlist, node.shortlist)
    if is_easy(node, listed):
        return listed[whole.offset : whole.offset + whole.limit]
    if len(listed) <= whole.offset:
        return []
    ids = ", ".join(literal(one.row[node.primary]) for one in listed)
    found = yield from run(session, replace(whole, filter=f"{node.primary} in [{ids}]"), node.whole)
    if len(found) < min(whole.limit, len(listed) - whole.offset):
        # A row has gone since, or an index gives up on filters as narrow as this one.
        return (yield from run(session, whole, node.whole))
    return found


def is_easy(node: Rescore, listed: list[Found]) -> bool:
    """Whether the shortlist's own order will do: a gap lies between the rows wanted and the last of it."""
    wanted = node.whole.offset + node.whole.limit
    if node.easy is None or len(listed) < node.shortlist.limit or len(listed) <= wanted:
        return False
    last, edge = listed[-1].distance, listed[wanted - 1].distance
    return last is not None and edge is not None and last - edge >= node.easy
