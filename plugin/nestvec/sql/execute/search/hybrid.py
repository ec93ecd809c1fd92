"""Milvus's hybrid search by several vector columns."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pymilvus import AnnSearchRequest

from nestvec.milvus.steps import Steps, call
from nestvec.sql.bind.vectors.targets import (
    SearchData,
    sent_data,
)
from nestvec.sql.execute.choose_search import ChosenSearch, choose_search, count_matching
from nestvec.sql.execute.rankers import boosted_limit, hybrid_ranker, search_ranker
from nestvec.sql.execute.rows import ScoredRow
from nestvec.sql.execute.search.nearest import scored_rows
from nestvec.sql.execute.search.targets import resolve_targets
from nestvec.sql.execute.timing import note_done
from nestvec.sql.plan.nodes import HybridSearch, VectorSearch
from nestvec.sql.plan.search_method import SearchMethod, widened
from nestvec.sql.session import Session

logger = logging.getLogger(__name__)


def run_hybrid(session: Session, node: HybridSearch) -> Steps[list[ScoredRow]]:
    """The fused rows of several searches; their ``distance`` is the score, where higher is better."""
    if node.limit <= 0:
        return []
    search_data = yield from resolve_targets(session, [part.nearest.target for part in node.parts])
    chosen: list[ChosenSearch] = []
    for part in node.parts:
        chosen.append((yield from choose_search(session, part, own_rows=False)))
    rows = yield from _search_parts(session, node, search_data, chosen)
    vector_parts = [search for search in chosen if not search.index.kind.exact]
    fewest = min(node.limit, max(part.limit for part in node.parts) - node.offset)
    while vector_parts and len(rows) < fewest and session.settings.index.iterative_scan != "off":
        # Each part finds its own limit of rows where that number exists, so at least as many exist in all.
        matching = yield from count_matching(session, node.collection, node.filter, fresh=True)
        if len(rows) >= min(fewest, max(0, matching - node.offset)):
            break
        wider = [
            replace(search, method=widened(search.index, search.workload, search.method) or search.method)
            for search in chosen
        ]
        if wider == chosen:
            short = f"the indexes found {len(rows):,} of {matching:,} rows"
            note_done(short)
            logger.warning("%s of %s", short, node.collection)
            break
        chosen = wider
        note_done(f"the indexes found {len(rows):,} of {matching:,} rows: widened")
        rows = yield from _search_parts(session, node, search_data, chosen)
    return rows


def _search_parts(
    session: Session,
    node: HybridSearch,
    search_data: Sequence[SearchData],
    chosen: Sequence[ChosenSearch],
) -> Steps[list[ScoredRow]]:
    """The rows of Milvus's hybrid search, or of its search where there are boosts."""
    if node.boosts is not None:
        return (yield from _search_boosted(session, node, search_data[0], chosen[0]))
    ranker = yield from hybrid_ranker(session, node)
    parts = zip(node.parts, search_data, chosen, strict=True)
    hit_lists = yield call(
        f"searching collection {node.collection}",
        "hybrid_search",
        node.collection,
        [_request(part, data, search.method) for part, data, search in parts],
        ranker,
        limit=node.limit,
        output_fields=list(node.fields),
        offset=node.offset,
        **session.read_options(),
    )
    return scored_rows(session, node, hit_lists[0], float)


def _search_boosted(
    session: Session, node: HybridSearch, data: SearchData, chosen: ChosenSearch
) -> Steps[list[ScoredRow]]:
    """The rows of a search whose scores Milvus changes: it ignores boosts of a hybrid search."""
    (part,) = node.parts
    request = _request(part, data, chosen.method)
    hit_lists = yield call(
        f"searching collection {node.collection}",
        "search",
        node.collection,
        data=[sent_data(data)],
        anns_field=request.anns_field,
        filter=part.filter,
        limit=(yield from boosted_limit(session, node)),
        output_fields=list(node.fields),
        search_params=request.param,
        ranker=(yield from search_ranker(session, node)),
        **session.read_options(),
    )
    # Milvus Lite's scores by words are negative, unless another ranker follows.
    negative = part.nearest.metric == "BM25" and node.reranker is None and (yield from session.is_lite())
    rows = scored_rows(session, node, hit_lists[0], (lambda score: -score) if negative else float)
    return rows[node.offset : node.offset + node.limit]


def _request(part: VectorSearch, search_data: SearchData, method: SearchMethod) -> AnnSearchRequest:
    param: dict[str, Any] = {"metric_type": part.nearest.metric}
    if method.params:
        param["params"] = dict(method.params)
    return AnnSearchRequest(
        [sent_data(search_data)], part.nearest.column, param, part.limit, expr=part.filter
    )
