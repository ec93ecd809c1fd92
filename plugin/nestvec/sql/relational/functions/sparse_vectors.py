"""Functions over sparse vectors, which are their texts in DuckDB: ``{1:0.5,3:2}/5``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from nestvec.sql.relational.functions.in_python import Function
from nestvec.sqltypes.vector_texts import (
    make_sparse,
    read_sparse,
    rounded,
    sparse_sort_key,
)

_MAX_DENSE: Final = 32_768
"""Dimensions of a dense vector in Milvus."""


def read(text: str) -> str:
    """The text as pgvector writes it. Raises ValueError for another text."""
    return str(read_sparse(text))


def check_dims(text: str, dims: int) -> str:
    """The vector itself. Raises ValueError if it has other dimensions."""
    own = read_sparse(text).dims
    if own != dims:
        raise ValueError(f"expected {dims} dimensions, not {own}")
    return text


def from_dense(numbers: Sequence[float]) -> str:
    """A dense vector without its zeros."""
    return str(make_sparse(len(numbers), range(len(numbers)), numbers))


def to_dense(text: str, kind: str) -> list[float]:
    """The vector with its zeros."""
    vector = read_sparse(text)
    if vector.dims > _MAX_DENSE:
        raise ValueError(f"{kind} cannot have more than {_MAX_DENSE} dimensions")
    numbers = np.zeros(vector.dims, np.float32)
    numbers[list(vector.indexes)] = vector.numbers
    dense: list[float] = rounded(numbers, kind).tolist()
    return dense


def norm(text: str) -> float:
    """The length of a vector."""
    return math.sqrt(sum(number * number for number in read_sparse(text).numbers))


def normalize(text: str) -> str:
    """The vector of length 1; one of zeros stays as it is."""
    vector, length = read_sparse(text), norm(text)
    numbers = [float(np.float32(number / length)) for number in vector.numbers] if length else []
    return str(make_sparse(vector.dims, vector.indexes if length else (), numbers))


def distance(left: str, right: str, metric: str) -> float:
    """The distance of two vectors by ``COSINE``, ``L2``, ``IP`` or ``L1``."""
    first, second = read_sparse(left), read_sparse(right)
    if first.dims != second.dims:
        raise ValueError(f"different sparsevec dimensions {first.dims} and {second.dims}")
    a, b = (dict(zip(vector.indexes, vector.numbers, strict=True)) for vector in (first, second))
    if metric in ("L2", "L1"):
        differences = [a.get(at, 0.0) - b.get(at, 0.0) for at in a.keys() | b.keys()]
        return math.hypot(*differences) if metric == "L2" else math.fsum(map(abs, differences))
    product = math.fsum(number * b.get(at, 0.0) for at, number in a.items())
    if metric == "IP":
        return -product
    lengths = math.sqrt(sum(x * x for x in a.values()) * sum(x * x for x in b.values()))
    return 1.0 - max(-1.0, min(1.0, product / lengths)) if lengths else math.nan


def sort_key(text: str) -> bytes:
    """Bytes in pgvector's order of vectors."""
    return sparse_sort_key(read_sparse(text))


def extreme(texts: Sequence[str | None], name: str) -> str | None:
    """The ``greatest`` or ``least`` vector; empty for none."""
    present = [text for text in texts if text is not None]
    choose: Callable[..., str] = max if name == "greatest" else min
    return choose(present, key=sort_key) if present else ""


SPARSE_FUNCTIONS: Final[tuple[Function, ...]] = (
    ("pg_sparse_read", read, ["VARCHAR"], "VARCHAR"),
    ("pg_sparse_check_dims", check_dims, ["VARCHAR", "BIGINT"], "VARCHAR"),
    ("pg_sparse_of_vector", from_dense, ["FLOAT[]"], "VARCHAR"),
    ("pg_vector_of_sparse", to_dense, ["VARCHAR", "VARCHAR"], "FLOAT[]"),
    ("pg_sparse_norm", norm, ["VARCHAR"], "DOUBLE"),
    ("pg_sparse_normalize", normalize, ["VARCHAR"], "VARCHAR"),
    ("pg_sparse_distance", distance, ["VARCHAR", "VARCHAR", "VARCHAR"], "DOUBLE"),
    ("pg_sparse_sort_key", sort_key, ["VARCHAR"], "BLOB"),
    ("pg_sparse_extreme", extreme, ["VARCHAR[]", "VARCHAR"], "VARCHAR"),
)
"""As DuckDB registers them. NULL gives NULL."""
