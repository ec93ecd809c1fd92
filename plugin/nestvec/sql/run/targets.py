"""Targets to what Milvus is sent: sums worked out here, of vectors that services and Milvus are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from pymilvus import MilvusClient

from nestvec.providers import environment_key
from nestvec.service.asking import Coding
from nestvec.service.client import Weights, ask_bits, ask_vectors, ask_weights
from nestvec.sql.bind.clauses import MAX_ROWS
from nestvec.sql.bind.targets import Embedded, Given, Stored, Sum, Target, Term
from nestvec.sql.plan.filter import render
from nestvec.sql.run.reading import Wanted, read_rows
from nestvec.sql.session import Session
from nestvec.steps import Job, Steps
from nestvec_schemas.errors import SqlTypeMismatch
from nestvec_schemas.spec import Form
from nestvec_schemas.vectors import Vectors

Sent = str | list[float] | bytes | Weights

_ASK: Final[dict[Form, Callable[..., Iterable[Any]]]] = {
    "float": ask_vectors,
    "binary": ask_bits,
    "sparse": ask_weights,
}

Known = Mapping[Term, Vectors]


def resolved(session: Session, targets: Sequence[Target]) -> Steps[list[Sent]]:
    """What stands for each target in a search; all texts of one encoder are asked for at once.

    Raises SqlTypeMismatch where a subquery has not one row or a sum is no vector; StoreError, ServiceError.
    """
    terms = list(dict.fromkeys(_terms(targets)))
    embedded = [one for one in terms if isinstance(one, Embedded)]
    found: dict[Term, Any] = {
        one: np.asarray(one.vector, np.float32) for one in terms if isinstance(one, Given)
    }
    if embedded:
        yield from session.served(dict.fromkeys(one.coding.service for one in embedded))
        found |= yield Job(lambda client: _asked(client, embedded))
    for one in terms:
        if isinstance(one, Stored):
            found[one] = yield from _stored(session, one)
    return [_sent(target, found) for target in targets]


def _terms(targets: Iterable[Target]) -> Iterator[Term]:
    for target in targets:
        if isinstance(target, Sum):
            yield from (term for _, term in target.terms)
        elif isinstance(target, Embedded):
            yield target


def _asked(client: MilvusClient, embedded: Sequence[Embedded]) -> dict[Embedded, Any]:
    """The vectors, the codes or the weights of texts: one request an encoder."""
    by: dict[tuple[Coding, Form], list[Embedded]] = {}
    for one in embedded:
        by.setdefault((one.coding, one.form), []).append(one)
    key = environment_key()
    api_key = key.api_key if key else None
    found: dict[Embedded, Any] = {}
    for (coding, form), those in by.items():
        made = _ASK[form](coding, [one.text for one in those], api_key, query=True)
        found.update(zip(those, made, strict=True))
    return found


def _stored(session: Session, term: Stored) -> Steps[Vectors]:
    yield from session.loaded(term.collection)
    doing = f"querying collection {term.collection}"
    wanted = Wanted(doing, term.collection, render(term.where), (term.column,), session.reading())
    rows = yield from read_rows(session, wanted, MAX_ROWS + 1 if term.summary else 2)
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
    found: Vectors = (summed / len(vectors) if term.summary == "avg" else summed).astype(np.float32)
    return found


def _sent(target: Target, found: Mapping[Term, Any]) -> Sent:
    if isinstance(target, tuple):
        return list(target)
    if isinstance(target, Embedded):
        made: Sent = found[target]
        return made
    if not isinstance(target, Sum):
        return target
    total = np.zeros_like(found[target.terms[0][1]])
    with np.errstate(over="ignore", invalid="ignore"):
        for weight, term in target.terms:
            total += np.float32(weight) * found[term]
    if not np.isfinite(total).all() or not total.any():
        raise SqlTypeMismatch(
            "the sum of the vectors has no direction",
            value="zero" if np.isfinite(total).all() else "numbers beyond 32 bits",
            next_step="Change the vectors or their weights.",
        )
    values: list[float] = total.tolist()
    return values
