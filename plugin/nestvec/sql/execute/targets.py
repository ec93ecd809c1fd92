"""Targets to what Milvus is sent: sums worked out here, of vectors that services and Milvus are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from pymilvus import MilvusClient

from nestvec.client.http import Coding
from nestvec.client.service_client import Weights, ask_bits, ask_vectors, ask_weights
from nestvec.milvus.providers import environment_key
from nestvec.milvus.steps import Job, Steps
from nestvec.sql.bind.clauses import MAX_ROWS
from nestvec.sql.bind.vectors.targets import Embedded, Given, Stored, Sum, Target, Term
from nestvec.sql.execute.reading import ReadRequest, read_rows
from nestvec.sql.plan.filter import render_filter
from nestvec.sql.session import Session
from nestvec_schemas.errors import SqlTypeMismatch
from nestvec_schemas.spec.collection_spec import Form
from nestvec_schemas.vectors import Vectors

SearchData = str | list[float] | bytes | Weights

_EMBEDDERS: Final[dict[Form, Callable[..., Iterable[Any]]]] = {
    "float": ask_vectors,
    "binary": ask_bits,
    "sparse": ask_weights,
}

Known = Mapping[Term, Vectors]


def resolve_targets(session: Session, targets: Sequence[Target]) -> Steps[list[SearchData]]:
    """What stands for each target in a search; all texts of one encoder are asked for at once.

    Raises SqlTypeMismatch where a subquery has not one row or a sum is no vector; StoreError, ServiceError.
    """
    terms = list(dict.fromkeys(_terms(targets)))
    embedded = [term for term in terms if isinstance(term, Embedded)]
    vectors: dict[Term, Any] = {
        term: np.asarray(term.vector, np.float32) for term in terms if isinstance(term, Given)
    }
    if embedded:
        yield from session.ensure_served(dict.fromkeys(term.coding.service for term in embedded))
        vectors |= yield Job(lambda client: _embed_texts(client, embedded))
    for term in terms:
        if isinstance(term, Stored):
            vectors[term] = yield from _read_stored(session, term)
    return [_search_data(target, vectors) for target in targets]


def _terms(targets: Iterable[Target]) -> Iterator[Term]:
    for target in targets:
        if isinstance(target, Sum):
            yield from (term for _, term in target.terms)
        elif isinstance(target, Embedded):
            yield target


def _embed_texts(client: MilvusClient, embedded: Sequence[Embedded]) -> dict[Embedded, Any]:
    """The vectors, the codes or the weights of texts: one request an encoder."""
    by_encoder: dict[tuple[Coding, Form], list[Embedded]] = {}
    for term in embedded:
        by_encoder.setdefault((term.coding, term.form), []).append(term)
    key = environment_key()
    api_key = key.api_key if key else None
    vectors: dict[Embedded, Any] = {}
    for (coding, form), group in by_encoder.items():
        answers = _EMBEDDERS[form](coding, [term.text for term in group], api_key, query=True)
        vectors.update(zip(group, answers, strict=True))
    return vectors


def _read_stored(session: Session, term: Stored) -> Steps[Vectors]:
    yield from session.ensure_loaded(term.collection)
    doing = f"querying collection {term.collection}"
    request = ReadRequest(
        doing, term.collection, render_filter(term.where), (term.column,), session.read_options()
    )
    rows = yield from read_rows(session, request, MAX_ROWS + 1 if term.summary else 2)
    named = f"{term.collection}.{term.column}"
    if len(rows) > MAX_ROWS or (not term.summary and len(rows) != 1):
        most = f"at most {MAX_ROWS:,} rows" if term.summary else "one row"
        raise SqlTypeMismatch(
            f"the subquery for a vector of {named} has not {most}",
            value="none" if not rows else "several" if not term.summary else "more",
            next_step="Have its WHERE name one row, by the primary key; avg() and sum() are of several.",
        )
    vectors = [row[term.column] for row in rows if row[term.column] is not None]
    if not vectors:
        raise SqlTypeMismatch(
            f"the subquery gives no vector of {named}", value="NULL", next_step="Name other rows."
        )
    summed = np.asarray(vectors, np.float64).sum(axis=0)
    vector: Vectors = (summed / len(vectors) if term.summary == "avg" else summed).astype(np.float32)
    return vector


def _search_data(target: Target, vectors: Mapping[Term, Any]) -> SearchData:
    if isinstance(target, tuple):
        return list(target)
    if isinstance(target, Embedded):
        data: SearchData = vectors[target]
        return data
    if not isinstance(target, Sum):
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
    values: list[float] = total.tolist()
    return values
