"""Distances that are computed outside Milvus: exact, in double precision, over the rows of a scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from nestvec.milvus.catalog import Column
from nestvec.sql.relational.arrow_rows import bit_bytes, dense_matrix
from nestvec.sqltypes import sql_type_of
from nestvec.sqltypes.vectors import to_sparse

Doubles = np.ndarray[Any, np.dtype[np.float64]]


def distance_array(column: Column, metric: str, values: Sequence[Any], target: Any) -> pa.Array:
    """The distance of each value to the target, as pgvector's operators give it; NULL for NULL."""
    missing = np.asarray([value is None for value in values], bool)
    if column.type == "SPARSE_FLOAT_VECTOR":
        dims = (sql_type.sizes if (sql_type := sql_type_of(column)) is not None else ()) or (None,)
        weights = [to_sparse(value, dims[0]) if isinstance(value, str) else value or {} for value in values]
        distances = np.asarray([_sparse(metric, value, target) for value in weights], np.float64)
    elif column.type == "BINARY_VECTOR" or metric in ("HAMMING", "JACCARD"):
        distances = _binary(metric, values, bytes(target))
    else:
        matrix = dense_matrix(column, values).astype(np.float64)
        distances = _DENSE[metric](matrix, np.asarray(target, np.float64))
    return pa.array(distances, pa.float64(), mask=missing)


def _products(matrix: Doubles, target: Doubles) -> Doubles:
    # Not a matrix product: BLAS adds the numbers of the last rows in another order, and equal vectors differ.
    return np.asarray(np.einsum("ij,j->i", matrix, target))


def _cosine(matrix: Doubles, target: Doubles) -> Doubles:
    lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(target)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines: Doubles = _products(matrix, target) / lengths
    return 1.0 - np.clip(cosines, -1.0, 1.0)


_DENSE: Final[dict[str, Callable[[Doubles, Doubles], Doubles]]] = {
    "COSINE": _cosine,
    "IP": lambda matrix, target: -_products(matrix, target),
    "L2": lambda matrix, target: np.linalg.norm(matrix - target, axis=1),
    "L1": lambda matrix, target: np.abs(matrix - target).sum(axis=1),
}


def _binary(metric: str, values: Sequence[Any], target: bytes) -> Doubles:
    bits = np.unpackbits(
        np.asarray(
            [np.frombuffer(bit_bytes(value) or bytes(len(target)), np.uint8) for value in values]
        ).reshape(len(values), -1),
        axis=1,
    ).astype(bool)
    target_bits = np.unpackbits(np.frombuffer(target, np.uint8)).astype(bool)
    if metric == "HAMMING":
        return np.asarray((bits ^ target_bits).sum(axis=1), np.float64)
    union = (bits | target_bits).sum(axis=1)
    shared = (bits & target_bits).sum(axis=1)
    return np.where(union == 0, 1.0, 1.0 - shared / np.maximum(union, 1))


def _sparse(metric: str, value: Mapping[Any, float], target: Mapping[Any, float]) -> float:
    left = {int(key): float(weight) for key, weight in value.items()}
    right = {int(key): float(weight) for key, weight in target.items()}
    product = sum(weight * right.get(key, 0.0) for key, weight in left.items())
    if metric == "IP":
        return -product
    if metric == "COSINE":
        length = float(np.sqrt(_squares(left) * _squares(right)))
        return 1.0 - product / length if length else float("nan")
    differences = [left.get(key, 0.0) - right.get(key, 0.0) for key in left.keys() | right.keys()]
    return float(np.abs(differences).sum() if metric == "L1" else np.sqrt(np.square(differences).sum()))


def _squares(vector: Mapping[int, float]) -> float:
    return sum(weight * weight for weight in vector.values())
