"""The target of a distance: a text, a vector, or a sum of vectors that is computed as the statement runs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sqlglot import exp

from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import SparseVector
from nestvec.milvus.catalog import Column
from nestvec.sql.bind.conditions import Condition
from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.bind.scope import Scope
from nestvec.sqltypes import sql_type_of
from nestvec.sqltypes.kinds import BFLOAT16
from nestvec.sqltypes.vectors import bfloat_bytes, to_bfloat, to_half
from nestvec_schemas.errors import RowRejected

FLOAT_VECTORS: Final = ("FLOAT_VECTOR", "FLOAT16_VECTOR", "BFLOAT16_VECTOR")
"""Milvus's types of dense vectors that are compared with any numbers."""

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


class ShortLiteral(tuple[float, ...]):
    """A vector that is compared with those of a column of 16 bits, rounded as they are."""


class Float16Literal(ShortLiteral):
    """Of a FLOAT16_VECTOR."""


class BFloat16Literal(ShortLiteral):
    """Of a BFLOAT16_VECTOR."""


Term = EmbeddedText | VectorLiteral | StoredVector


@dataclass(frozen=True)
class VectorSum:
    """A weighted sum of vectors of one dim."""

    terms: tuple[tuple[float, Term], ...]


Target = str | tuple[float, ...] | bytes | SparseLiteral | EmbeddedText | VectorSum
"""A text that Milvus embeds or tokenizes, a vector, bits, or a vector that is computed by nestvec."""

SearchData = str | list[float] | bytes | ShortLiteral | SparseVector
"""A target when its texts are embedded and its vectors computed."""


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
    if column.type not in FLOAT_VECTORS or len(values) != column.dim:
        raise scope.source.type_mismatch(
            f"column {column.name} has {column.dim} dims",
            f"{len(values)} numbers",
            node,
            f"Pass {column.dim} numbers.",
        )
    cached = scope.params.vectors.get(id(values))
    if cached is not None and cached[0] is values:
        return _rounded(scope, column, cached[1], node)
    kinds = {float} if id(values) in scope.params.floats else set(map(type, values))
    if not _are_numbers(values, kinds):
        raise scope.source.type_mismatch(
            "a vector holds finite 32-bit numbers", str(values)[:40], node, "Pass only such numbers."
        )
    vector = tuple(values) if kinds == {float} else tuple(map(float, values))
    scope.params.vectors[id(values)] = (values, vector)
    return _rounded(scope, column, vector, node)


def _rounded(scope: Scope, column: Column, vector: tuple[float, ...], node: exp.Expr) -> tuple[float, ...]:
    """A vector as a column of 16 bits stores it; another as it is. Raises SqlDataError beyond its range."""
    kind = sql_type_of(column)
    if kind is None or kind.name not in ("halfvec", BFLOAT16):
        return vector
    try:
        numbers = (to_half if kind.name == "halfvec" else to_bfloat)(vector, column.dim).tolist()
    except RowRejected as error:
        step = error.next_step or "Scale it."
        raise scope.source.data_error(error.cause, error.value, node, step) from error
    return _LITERALS.get(column.type, tuple)(numbers)


_LITERALS: Final[dict[str, Callable[[Iterable[float]], tuple[float, ...]]]] = {
    "FLOAT16_VECTOR": Float16Literal,
    "BFLOAT16_VECTOR": BFloat16Literal,
}


def sent_data(data: Any) -> Any:
    """What pymilvus is sent for a vector of 16 bits; anything else as it is."""
    if isinstance(data, Float16Literal):
        return np.asarray(data, np.float16)
    return bfloat_bytes(np.asarray(data, np.float32)) if isinstance(data, BFloat16Literal) else data


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
