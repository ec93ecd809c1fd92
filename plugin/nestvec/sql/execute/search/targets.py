"""The targets of searches as vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pymilvus import MilvusClient

from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import embed
from nestvec.client.service_key import environment_api_key
from nestvec.milvus.steps import BlockingCall, Steps
from nestvec.sql.bind.query import MAX_WINDOW
from nestvec.sql.bind.vectors.targets import (
    EmbeddedText,
    SearchData,
    ShortLiteral,
    SparseLiteral,
    StoredVector,
    Target,
    Term,
    VectorLiteral,
    VectorSum,
)
from nestvec.sql.execute.read import ReadRequest, query_rows
from nestvec.sql.plan.filter import render_filter
from nestvec.sql.session import Session
from nestvec_schemas.errors import SqlTypeMismatch
from nestvec_schemas.vectors import Vectors


def resolve_targets(session: Session, targets: Sequence[Target]) -> Steps[list[SearchData]]:
    """What Milvus is sent for each target; the texts of one encoder are embedded in one request.

    Raises SqlTypeMismatch if a subquery does not have one row or a sum has no direction; StoreError,
    ServiceError.
    """
    if all(isinstance(target, tuple) for target in targets):
        return [_search_data(target, {}) for target in targets]
    terms = list(dict.fromkeys(_terms(targets)))
    embedded = [term for term in terms if isinstance(term, EmbeddedText)]
    vectors: dict[Term, Any] = {
        term: np.asarray(term.vector, np.float32) for term in terms if isinstance(term, VectorLiteral)
    }
    if embedded:
        yield from session.ensure_served(dict.fromkeys(term.request.service for term in embedded))
        vectors |= yield BlockingCall(lambda client: _embed_texts(client, embedded))
    for term in terms:
        if isinstance(term, StoredVector):
            vectors[term] = yield from _read_stored(session, term)
    return [_search_data(target, vectors) for target in targets]


def _terms(targets: Iterable[Target]) -> Iterator[Term]:
    for target in targets:
        if isinstance(target, VectorSum):
            yield from (term for _, term in target.terms)
        elif isinstance(target, EmbeddedText):
            yield target


def _embed_texts(client: MilvusClient, embedded: Sequence[EmbeddedText]) -> dict[EmbeddedText, Any]:
    """The vectors, binary codes or sparse weights of texts: one request per encoder."""
    by_request: dict[EmbeddingRequest, list[EmbeddedText]] = {}
    for term in embedded:
        by_request.setdefault(term.request, []).append(term)
    vectors: dict[EmbeddedText, Any] = {}
    for request, group in by_request.items():
        answers = embed(request, [term.text for term in group], environment_api_key(), query=True)
        vectors.update(zip(group, answers, strict=True))
    return vectors


def _read_stored(session: Session, term: StoredVector) -> Steps[Vectors]:
    yield from session.ensure_loaded(term.collection)
    doing = f"querying collection {term.collection}"
    request = ReadRequest(
        doing, term.collection, render_filter(term.where), (term.column,), session.read_options()
    )
    rows = yield from query_rows(session, request, MAX_WINDOW + 1 if term.aggregate else 2)
    named = f"{term.collection}.{term.column}"
    if len(rows) > MAX_WINDOW or (not term.aggregate and len(rows) != 1):
        most = f"at most {MAX_WINDOW:,} rows" if term.aggregate else "exactly one row"
        raise SqlTypeMismatch(
            f"the subquery for a vector of {named} must return {most}",
            value="none" if not rows else "more" if term.aggregate else "several",
            next_step="Select one row by its primary key, or combine several with avg() or sum().",
        )
    vectors = [row[term.column] for row in rows if row[term.column] is not None]
    if not vectors:
        raise SqlTypeMismatch(
            f"the subquery returns no vector of {named}", value="NULL", next_step="Select other rows."
        )
    summed = np.asarray(vectors, np.float64).sum(axis=0)
    vector: Vectors = (summed / len(vectors) if term.aggregate == "avg" else summed).astype(np.float32)
    return vector


def _search_data(target: Target, vectors: Mapping[Term, Any]) -> SearchData:
    if isinstance(target, tuple):
        return target if isinstance(target, ShortLiteral) else list(target)
    if isinstance(target, EmbeddedText):
        data: SearchData = vectors[target]
        return data
    if isinstance(target, SparseLiteral):
        return dict(target.entries)
    if not isinstance(target, VectorSum):
        return target
    total = np.zeros_like(vectors[target.terms[0][1]])
    with np.errstate(over="ignore", invalid="ignore"):
        for weight, term in target.terms:
            total += np.float32(weight) * vectors[term]
    if not np.isfinite(total).all() or not total.any():
        raise SqlTypeMismatch(
            "the sum of the vectors has no direction",
            value="zero" if np.isfinite(total).all() else "numbers beyond 32 bits",
            next_step="Change the vectors or their weights.",
        )
    return list(map(float, total))
