"""What a distance is to: a text, a vector, or a sum of vectors that are had as the statement runs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from nestvec.client.http import EmbeddingRequest
from nestvec.milvus.catalog import Column
from nestvec.sql.bind.conditions import Condition
from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.bind.scope import Scope

_MAX_FLOAT32 = 3.4028234e38
"""The largest number of 32 bits."""


@dataclass(frozen=True)
class EmbeddedText:
    """A text that a service embeds as a query when the statement runs."""

    text: str
    request: EmbeddingRequest


@dataclass(frozen=True)
class VectorLiteral:
    """A vector written in the statement, or its parameter."""

    vector: tuple[float, ...]


@dataclass(frozen=True)
class StoredVector:
    """The vector in ``column`` of the one row of a collection that ``where`` is true of.

    Where there is a ``summary``, ``avg`` or ``sum``, it is that of every such row's vector.
    """

    collection: str
    column: str
    where: Condition | None
    dim: int
    aggregate: str = ""


Term = EmbeddedText | VectorLiteral | StoredVector


@dataclass(frozen=True)
class VectorSum:
    """Vectors of one dim, each times its weight, added up."""

    terms: tuple[tuple[float, Term], ...]


Target = str | tuple[float, ...] | bytes | EmbeddedText | VectorSum
"""A text that Milvus has embedded, or breaks into words; numbers; bits; or what is worked out here."""


def target_services(target: Target) -> tuple[str, ...]:
    """The services that are asked for a target's vectors here, each once."""
    if isinstance(target, EmbeddedText):
        return (target.request.service,)
    terms = target.terms if isinstance(target, VectorSum) else ()
    return tuple(dict.fromkeys(term.request.service for _, term in terms if isinstance(term, EmbeddedText)))


def without_parens(node: exp.Expr) -> exp.Expr:
    """A node without the parentheses around it."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def text_constant(scope: Scope, node: exp.Expr) -> str | None:
    """The text that a constant or a parameter is; None for another node. Raises SqlTypeMismatch."""
    if isinstance(node, PARAMETER_NODES):
        value = scope.constant(node)
        if not isinstance(value, str):
            raise scope.source.type_mismatch(
                "the parameter is no text", "NULL" if value is None else value, node, "Give a text."
            )
        return value
    return str(node.this) if isinstance(node, exp.Literal) and node.is_string else None


def check_text(scope: Scope, text: str, node: exp.Expr) -> str:
    """The text. Raises SqlTypeMismatch where there is nothing in it."""
    if not text.strip():
        raise scope.source.type_mismatch("there is nothing to embed", repr(text), node, "Write a text.")
    return text


def check_vector(scope: Scope, column: Column, values: Sequence[Any], node: exp.Expr) -> tuple[float, ...]:
    """Numbers as a vector of the column's. Raises SqlTypeMismatch."""
    if column.type != "FLOAT_VECTOR" or len(values) != column.dim:
        raise scope.source.type_mismatch(
            f"column {column.name} has {column.dim} dims", f"{len(values)} numbers", node, "Give as many."
        )
    cached = scope.params.vectors.get(id(values))
    if cached is not None and cached[0] is values:
        return cached[1]
    kinds = set(map(type, values))
    if not _are_numbers(values, kinds):
        raise scope.source.type_mismatch(
            "a vector holds finite numbers of 32 bits", str(values)[:40], node, "Give numbers alone."
        )
    vector = tuple(values) if kinds == {float} else tuple(map(float, values))
    scope.params.vectors[id(values)] = (values, vector)
    return vector


def parse_vector(text: str) -> tuple[float, ...] | None:
    """A vector as pgvector writes it (``[0.1, 0.2]``); None where the text is anything else."""
    if not text.lstrip().startswith("["):
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list) or not values:
        return None
    if not all(type(number) in (int, float) and _fits(number) for number in values):
        return None
    return tuple(float(number) for number in values)


def _are_numbers(values: Sequence[Any], kinds: Iterable[type]) -> bool:
    # Hundreds of numbers: no loop of Python's own.
    return (
        all(issubclass(kind, (int, float)) for kind in kinds)
        # NaN is found by the sum, where the others all fit; only as the first is it beyond the bounds.
        and max(values) <= _MAX_FLOAT32
        and min(values) >= -_MAX_FLOAT32
        and not math.isnan(sum(values))
    )


def _fits(number: float) -> bool:
    return math.isfinite(number) and abs(number) <= _MAX_FLOAT32
