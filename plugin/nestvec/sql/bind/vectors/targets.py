"""The target of a distance: a text, a vector, or a sum of vectors that is computed as the statement runs."""

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
"""The largest 32-bit float."""


@dataclass(frozen=True)
class EmbeddedText:
    """A text that a service embeds as a query when the statement runs."""

    text: str
    request: EmbeddingRequest


@dataclass(frozen=True)
class VectorLiteral:
    """A vector in the statement or its parameters."""

    vector: tuple[float, ...]


@dataclass(frozen=True)
class StoredVector:
    """The vector of a stored row, or an aggregate of several."""

    collection: str
    column: str
    where: Condition | None
    """Selects the row; with an aggregate, the rows."""
    dim: int
    aggregate: str = ""
    """``avg`` or ``sum``; empty for the vector of one row."""


@dataclass(frozen=True)
class SparseLiteral:
    """A sparse vector in the statement or its parameters: numbers by index from 0."""

    entries: tuple[tuple[int, float], ...]


Term = EmbeddedText | VectorLiteral | StoredVector


@dataclass(frozen=True)
class VectorSum:
    """A weighted sum of vectors of one dim."""

    terms: tuple[tuple[float, Term], ...]


Target = str | tuple[float, ...] | bytes | SparseLiteral | EmbeddedText | VectorSum
"""A text that Milvus embeds or tokenizes, a vector, bits, or a vector that is computed by nestvec."""


def target_services(target: Target) -> tuple[str, ...]:
    """The distinct services that nestvec calls for the vectors of a target."""
    if isinstance(target, EmbeddedText):
        return (target.request.service,)
    terms = target.terms if isinstance(target, VectorSum) else ()
    return tuple(dict.fromkeys(term.request.service for _, term in terms if isinstance(term, EmbeddedText)))


def text_constant(scope: Scope, node: exp.Expr) -> str | None:
    """The text of a constant or a parameter; None for another node. Raises SqlTypeMismatch."""
    if isinstance(node, PARAMETER_NODES):
        value = scope.constant(node)
        if not isinstance(value, str):
            raise scope.source.type_mismatch(
                "the parameter is not a string", "NULL" if value is None else value, node, "Pass a string."
            )
        return value
    return str(node.this) if isinstance(node, exp.Literal) and node.is_string else None


def check_text(scope: Scope, text: str, node: exp.Expr) -> str:
    """The text itself. Raises SqlTypeMismatch if it is blank."""
    if not text.strip():
        raise scope.source.type_mismatch("there is nothing to embed", repr(text), node, "Write some text.")
    return text


def column_vector(scope: Scope, column: Column, values: Sequence[Any], node: exp.Expr) -> tuple[float, ...]:
    """Numbers as a vector of the column's dim. Raises SqlTypeMismatch."""
    if column.type != "FLOAT_VECTOR" or len(values) != column.dim:
        raise scope.source.type_mismatch(
            f"column {column.name} has {column.dim} dims",
            f"{len(values)} numbers",
            node,
            f"Pass {column.dim} numbers.",
        )
    cached = scope.params.vectors.get(id(values))
    if cached is not None and cached[0] is values:
        return cached[1]
    kinds = {float} if id(values) in scope.params.floats else set(map(type, values))
    if not _are_numbers(values, kinds):
        raise scope.source.type_mismatch(
            "a vector holds finite 32-bit numbers", str(values)[:40], node, "Pass only such numbers."
        )
    vector = tuple(values) if kinds == {float} else tuple(map(float, values))
    scope.params.vectors[id(values)] = (values, vector)
    return vector


def parse_vector(text: str) -> tuple[float, ...] | None:
    """A vector in pgvector's notation (``[0.1, 0.2]``); None if the text is anything else."""
    if not text.lstrip().startswith("["):
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list) or not values:
        return None
    if not all(type(number) in (int, float) and _is_float32(number) for number in values):
        return None
    return tuple(float(number) for number in values)


def _are_numbers(values: Sequence[Any], kinds: Iterable[type]) -> bool:
    # Vectors have hundreds of numbers: no Python loop.
    if not all(issubclass(kind, (int, float)) for kind in kinds):
        return False
    # No number is greater than the length of the vector, which is NaN if one of them is.
    return (kinds == {float} and math.hypot(*values) <= _MAX_FLOAT32) or (
        # max and min miss a NaN that is not the first number; the sum does not.
        max(values) <= _MAX_FLOAT32 and min(values) >= -_MAX_FLOAT32 and not math.isnan(sum(values))
    )


def _is_float32(number: float) -> bool:
    return math.isfinite(number) and abs(number) <= _MAX_FLOAT32
