"""Rankings as nodes of a plan, and in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.select import MAX_ROWS
from nestvec.sql.bind.vectors import targets
from nestvec.sql.bind.vectors.nearest import Fused, Nearest, Ranking
from nestvec.sql.bind.vectors.rerank import Reranker
from nestvec.sql.bind.vectors.targets import Embedded, Given, Stored, Sum, Target, Term
from nestvec.sql.plan.nodes import HybridSearch, VectorSearch

DEFAULT_CANDIDATES: Final = 100
"""Rows by each distance that a fused ranking counts, at least: ranks beyond add next to nothing (1 / 160)."""

DEFAULT_RERANKED: Final = 50
"""Rows that a model scores where no number is written: it reads each of them with the query."""

_MAX_SHOWN_CHARS = 60


def plan_hybrid(
    collection: str, ranking: Fused, where: str, fields: tuple[str, ...], limit: int, offset: int
) -> HybridSearch:
    """A fused ranking, with as many candidates a part as it was told, and at least those that are wanted."""
    candidates = _candidates(ranking.candidates or DEFAULT_CANDIDATES, limit + offset)
    return HybridSearch(
        collection, ranking, _parts(collection, ranking, where, candidates), fields, limit, offset
    )


def add_rerank(search: VectorSearch | HybridSearch, rerank: Reranker) -> HybridSearch:
    """The same rows' candidates, in the order of a model's scores."""
    node = search
    if isinstance(node, VectorSearch):
        ranking = Fused((node.nearest,))
        fused = plan_hybrid(node.collection, ranking, node.filter, node.fields, node.limit, node.offset)
    else:
        fused = node
    size = _candidates(rerank.candidates or DEFAULT_RERANKED, fused.limit + fused.offset)
    parts = tuple(replace(part, limit=size) for part in fused.parts)
    return replace(fused, parts=parts, rerank=rerank)


def _candidates(requested: int, count: int) -> int:
    return min(MAX_ROWS, max(count, requested))


def _parts(collection: str, ranking: Fused, where: str, candidates: int) -> tuple[VectorSearch, ...]:
    return tuple(VectorSearch(collection, nearest, where, (), candidates) for nearest in ranking.parts)


def embedding_services(table: Table, ranking: Ranking | None) -> tuple[str, ...]:
    """The services that embed a ranking's texts, whoever asks them; each once."""
    if ranking is None:
        return ()
    services: list[str] = []
    for part in ranking.parts if isinstance(ranking, Fused) else (ranking,):
        embedding = table.embedding(part.column)
        if isinstance(part.target, str):
            services += [embedding.endpoint.service] if embedding is not None else []
        else:
            services += targets.services(part.target)
    return tuple(dict.fromkeys(services))


def describe_embedding(ranking: Nearest) -> str:
    """Who embeds how many texts of a ranking here, for EXPLAIN; empty where Milvus does or nobody."""
    target = ranking.target
    terms = target.terms if isinstance(target, Sum) else ((1.0, target),)
    embedded = dict.fromkeys(term for _, term in terms if isinstance(term, Embedded))
    encoders = dict.fromkeys(
        f"{term.coding.model}, {_describe_size(term)}, at {term.coding.service}" for term in embedded
    )
    return f"{len(embedded)} texts by {'; '.join(encoders)}, asked here" if embedded else ""


def _describe_size(embedded: Embedded) -> str:
    return "weights of words" if embedded.form == "sparse" else f"{embedded.coding.dim} dims"


def describe_fusion(ranking: Fused) -> str:
    """How the parts are fused."""
    if len(ranking.parts) == 1:
        return "one ranking"
    if not ranking.weights:
        return f"RRF with k = {ranking.k:g}"
    return f"weights {', '.join(f'{weight:g}' for weight in ranking.weights)}"


def describe_target(target: Target) -> str:
    """What a search is for, cut where it is long."""
    if isinstance(target, str):
        return _quoted(target)
    if isinstance(target, bytes):
        return f"a code of {len(target) * 8} bits"
    if isinstance(target, Embedded):
        return _describe_term(target)
    if isinstance(target, tuple):
        return f"a vector of {len(target)} dims"
    return _describe_sum(target)


def _describe_sum(target: Sum) -> str:
    shown = ""
    for number, (weight, term) in enumerate(target.terms):
        if len(shown) > 4 * _MAX_SHOWN_CHARS:
            return f"{shown} + {len(target.terms) - number} more"
        sign = ("-" if weight < 0 else "") if not shown else (" - " if weight < 0 else " + ")
        shown += f"{sign}{'' if abs(weight) == 1 else f'{abs(weight):g} * '}{_describe_term(term)}"
    return shown


def _describe_term(term: Term) -> str:
    if isinstance(term, Embedded):
        return f"EMBED({_quoted(term.text)}, {term.coding.model!r})"
    if isinstance(term, Given):
        return f"a vector of {len(term.vector)} dims"
    return _describe_stored(term)


def _describe_stored(term: Stored) -> str:
    named = f"{term.collection}.{term.column}"
    return f"{term.summary}({named})" if term.summary else f"{named} of one row"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}…")
