"""Functions over lists of numbers that are pgvector's dense vectors, for many rows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import pyarrow as pa

from nestvec.sql.relational.functions.in_python import Function
from nestvec.sqltypes.vector_texts import (
    FIRST_EXPONENT,
    LEAST_FIXED,
    Floats,
    check_finite,
    read_vector,
    real_text,
    rounded,
)

_OVERFLOW: Final = "value out of range: overflow"
_UNDERFLOW: Final = "value out of range: underflow"
_STEPS: Final[dict[str, Callable[[Floats, Floats], Floats]]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
}


def combine(left: pa.ChunkedArray, right: pa.ChunkedArray, operator: Any, kind: Any) -> pa.Array:
    """The sum, difference or product of vectors, element by element, or one behind the other."""
    word, name = _constant(operator), _constant(kind)
    pairs = zip(_vectors(left), _vectors(right), strict=True)
    return _lists(None if a is None or b is None else _combined(a, b, word, name) for a, b in pairs)


def _combined(left: Floats, right: Floats, operator: str, kind: str) -> Floats:
    if operator == "||":
        return np.concatenate((left, right))
    if len(left) != len(right):
        raise ValueError(f"different {kind} dimensions {len(left)} and {len(right)}")
    with np.errstate(over="ignore", under="ignore"):
        result = rounded(_STEPS[operator](left, right), kind, checked=False)
    if np.isinf(result).any():
        raise ValueError(_OVERFLOW)
    if operator == "*" and ((result == 0) & (left != 0) & (right != 0)).any():
        raise ValueError(_UNDERFLOW)
    return result


def total(groups: pa.ChunkedArray, kind: Any) -> pa.Array:
    """The sum of each list of vectors, added one after the other in the type's own precision."""
    name = _constant(kind)
    return _lists(_total(group, name) for group in _groups(groups))


def _total(vectors: list[Floats], kind: str) -> Floats | None:
    result: Floats | None = None
    for vector in vectors:
        result = vector if result is None else _combined(result, vector, "+", kind)
    return result


def mean(groups: pa.ChunkedArray, kind: Any) -> pa.Array:
    """The average of each list of vectors, added in double precision."""
    name = _constant(kind)
    return _lists(_mean(group, name) for group in _groups(groups))


def _mean(vectors: list[Floats], kind: str) -> Floats | None:
    if not vectors:
        return None
    added = vectors[0].astype(np.float64)
    for vector in vectors[1:]:
        if len(vector) != len(added):
            raise ValueError(f"expected {len(added)} dimensions, not {len(vector)}")
        added += vector
    with np.errstate(over="ignore"):
        result = (added / len(vectors)).astype(np.float32)
    check_finite(result, kind)
    return rounded(result, kind)


def normalize(vectors: pa.ChunkedArray, kind: Any) -> pa.Array:
    """Vectors of length 1; one of zeros stays as it is."""
    name = _constant(kind)
    return _lists(None if vector is None else _normalized(vector, name) for vector in _vectors(vectors))


def _normalized(vector: Floats, kind: str) -> Floats:
    length = np.sqrt(np.square(vector, dtype=np.float64).sum())
    if not length:
        return np.zeros_like(vector)
    return rounded((vector.astype(np.float64) / length).astype(np.float32), kind)


def from_numbers(arrays: pa.ChunkedArray, kind: Any) -> pa.Array:
    """Arrays of numbers as vectors. Raises ValueError for NULL, NaN and infinity among them."""
    name = _constant(kind)
    return _lists(None if array is None else _from_numbers(array, name) for array in arrays.to_pylist())


def _from_numbers(array: list[float | None], kind: str) -> Floats:
    if None in array:
        raise ValueError("array must not contain nulls")
    if not array:
        raise ValueError(f"{kind} must have at least 1 dimension")
    with np.errstate(over="ignore"):
        numbers = np.asarray(array, np.float64).astype(np.float32)
    check_finite(numbers, kind)
    return rounded(numbers, kind)


def convert(vectors: pa.ChunkedArray, kind: Any) -> pa.Array:
    """Vectors rounded to another type."""
    name = _constant(kind)
    return _lists(None if vector is None else rounded(vector, name) for vector in _vectors(vectors))


def from_texts(texts: pa.ChunkedArray, kind: Any) -> pa.Array:
    """Vectors of their texts. Raises ValueError in pgvector's words."""
    name = _constant(kind)
    return _lists(None if text is None else read_vector(text, name) for text in texts.to_pylist())


def to_texts(vectors: pa.ChunkedArray) -> pa.Array:
    """Vectors as pgvector writes them."""
    return pa.array([None if v is None else _text(v) for v in _vectors(vectors)], pa.string())


def _text(vector: Floats) -> str:
    texts = pa.array(vector, pa.float32()).cast(pa.string()).to_pylist()
    # Arrow has other limits for exponents than PostgreSQL.
    sizes = np.abs(vector)
    for at in np.flatnonzero((vector != 0) & ((sizes < LEAST_FIXED) | (sizes >= FIRST_EXPONENT))):
        texts[at] = real_text(vector[at])
    return f"[{','.join(texts)}]"


def _constant(column: pa.ChunkedArray) -> str:
    """The value of an argument that is the same in all rows."""
    return str(column[0].as_py()) if len(column) else ""


def _vectors(column: pa.ChunkedArray) -> list[Floats | None]:
    """The vector of each row; None for NULL."""
    vectors: list[Floats | None] = []
    for chunk in column.chunks:
        flat = chunk.values.to_numpy(zero_copy_only=False)
        offsets, valid = chunk.offsets.to_numpy(), chunk.is_valid().to_numpy(zero_copy_only=False)
        for at, is_valid in enumerate(valid):
            vectors.append(flat[offsets[at] : offsets[at + 1]] if is_valid else None)
    return vectors


def _groups(column: pa.ChunkedArray) -> list[list[Floats]]:
    """The vectors of each row's list, without NULLs."""
    groups: list[list[Floats]] = []
    for chunk in column.chunks:
        vectors = _vectors(pa.chunked_array([chunk.values]))
        offsets, valid = chunk.offsets.to_numpy(), chunk.is_valid().to_numpy(zero_copy_only=False)
        for at, is_valid in enumerate(valid):
            rows = vectors[offsets[at] : offsets[at + 1]] if is_valid else []
            groups.append([vector for vector in rows if vector is not None])
    return groups


def _lists(vectors: Iterable[Floats | None]) -> pa.Array:
    rows = list(vectors)
    present = [row for row in rows if row is not None]
    flat = np.concatenate(present) if present else np.empty(0, np.float32)
    offsets = np.concatenate(([0], np.cumsum([0 if row is None else len(row) for row in rows]))).astype(
        np.int32
    )
    missing = pa.array([row is None for row in rows], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat, pa.float32()), mask=missing)


_VECTOR: Final = "FLOAT[]"

VECTOR_FUNCTIONS: Final[tuple[Function, ...]] = (
    ("pg_vector_combine", combine, [_VECTOR, _VECTOR, "VARCHAR", "VARCHAR"], _VECTOR),
    ("pg_vector_total", total, ["FLOAT[][]", "VARCHAR"], _VECTOR),
    ("pg_vector_mean", mean, ["FLOAT[][]", "VARCHAR"], _VECTOR),
    ("pg_vector_normalize", normalize, [_VECTOR, "VARCHAR"], _VECTOR),
    ("pg_vector_of_numbers", from_numbers, ["DOUBLE[]", "VARCHAR"], _VECTOR),
    ("pg_vector_as", convert, [_VECTOR, "VARCHAR"], _VECTOR),
    ("pg_vector_text", to_texts, [_VECTOR], "VARCHAR"),
    ("pg_vector_of_text", from_texts, ["VARCHAR", "VARCHAR"], _VECTOR),
)
"""As DuckDB registers them, over Arrow arrays; they are called for NULL, too."""
