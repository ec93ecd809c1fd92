"""Rankings as nodes of a plan, and in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from nestvec.catalog import Table
from nestvec.sql.bind import targets
from nestvec.sql.bind.nearest import Fused, Nearest, Ranking
from nestvec.sql.bind.rerank import Reranker
from nestvec.sql.bind.select import MAX_ROWS
from nestvec.sql.bind.targets import Embedded, Given, Stored, Sum, Target, Term
from nestvec.sql.plan.nodes import Hybrid, Search

CANDIDATES: Final = 100
"""Rows by each distance that a fused ranking counts, at least: ranks beyond add next to nothing (1 / 160)."""

RERANKED: Final = 50
"""Rows that a model scores where no number is written: it reads each of them with the query."""

_SHOWN = 60


def hybrid(
    collection: str, ranking: Fused, where: str, fields: tuple[str, ...], limit: int, offset: int
) -> Hybrid:
    """A fused ranking, with as many candidates a part as it was told, and at least those that are wanted."""
    candidates = _candidates(ranking.candidates or CANDIDATES, limit + offset)
    return Hybrid(collection, ranking, _parts(collection, ranking, where, candidates), fields, limit, offset)


def reranked(search: Search | Hybrid, rerank: Reranker) -> Hybrid:
    """The same rows' candidates, in the order of a model's scores."""
    node = search
    if isinstance(node, Search):
        ranking = Fused((node.nearest,))
        one = hybrid(node.collection, ranking, node.filter, node.fields, node.limit, node.offset)
    else:
        one = node
    size = _candidates(rerank.candidates or RERANKED, one.limit + one.offset)
    parts = tuple(replace(part, limit=size) for part in one.parts)
    return replace(one, parts=parts, rerank=rerank)


def _candidates(told: int, wanted: int) -> int:
    return min(MAX_ROWS, max(wanted, told))


def _parts(collection: str, ranking: Fused, where: str, candidates: int) -> tuple[Search, ...]:
    return tuple(Search(collection, one, where, (), candidates) for one in ranking.parts)


def services(table: Table, ranking: Ranking | None) -> tuple[str, ...]:
    """The services that embed a ranking's texts, whoever asks them; each once."""
    if ranking is None:
        return ()
    found: list[str] = []
    for one in ranking.parts if isinstance(ranking, Fused) else (ranking,):
        embedding = table.embedding(one.column)
        if isinstance(one.target, str):
            found += [embedding.endpoint.service] if embedding is not None else []
        else:
            found += targets.services(one.target)
    return tuple(dict.fromkeys(found))


def texts(ranking: Nearest) -> str:
    """Who embeds how many texts of a ranking here, for EXPLAIN; empty where Milvus does or nobody."""
    target = ranking.target
    terms = target.terms if isinstance(target, Sum) else ((1.0, target),)
    asked = dict.fromkeys(one for _, one in terms if isinstance(one, Embedded))
    by = dict.fromkeys(f"{one.coding.model}, {_size(one)}, at {one.coding.service}" for one in asked)
    return f"{len(asked)} texts by {'; '.join(by)}, asked here" if asked else ""


def _size(one: Embedded) -> str:
    return "weights of words" if one.form == "sparse" else f"{one.coding.dim} dims"


def fusion(ranking: Fused) -> str:
    """How the parts are fused."""
    if len(ranking.parts) == 1:
        return "one ranking"
    if not ranking.weights:
        return f"RRF with k = {ranking.k:g}"
    return f"weights {', '.join(f'{one:g}' for one in ranking.weights)}"


def target(target: Target) -> str:
    """What a search is for, cut where it is long."""
    if isinstance(target, str):
        return _text(target)
    if isinstance(target, bytes):
        return f"a code of {len(target) * 8} bits"
    if isinstance(target, Embedded):
        return _term(target)
    if isinstance(target, tuple):
        return f"a vector of {len(target)} dims"
    return _sum(target)


def _sum(target: Sum) -> str:
    shown = ""
    for number, (weight, term) in enumerate(target.terms):
        if len(shown) > 4 * _SHOWN:
            return f"{shown} + {len(target.terms) - number} more"
        sign = ("-" if weight < 0 else "") if not shown else (" - " if weight < 0 else " + ")
        shown += f"{sign}{'' if abs(weight) == 1 else f'{abs(weight):g} * '}{_term(term)}"
    return shown


def _term(term: Term) -> str:
    if isinstance(term, Embedded):
        return f"EMBED({_text(term.text)}, {term.coding.model!r})"
    if isinstance(term, Given):
        return f"a vector of {len(term.vector)} dims"
    return _stored(term)


def _stored(term: Stored) -> str:
    named = f"{term.collection}.{term.column}"
    return f"{term.summary}({named})" if term.summary else f"{named} of one row"


def _text(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
