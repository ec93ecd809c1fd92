"""How far two vectors of a field agree, in whatever form the field holds them."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np

from nestvec_schemas.embedding_config import Form

Measure = Literal["cosine", "equal bits"]

Numbers = np.ndarray[Any, np.dtype[np.float64]] | dict[int, float]

_MIN_COSINE: Final = 0.999
_MIN_COSINE_EXACT: Final = 0.9995
"""Of fp32 weights and float32 vectors: engines that compute in bf16 keep 0.9999 to fp32, each of both."""

_MIN_COSINE_PER_BATCH: Final = 0.98
"""Of weights whose activations have one range per batch: a vector depends a little on the others."""

_MIN_EQUAL_BITS: Final = 0.97
"""Numbers near zero change their sign by rounding. Half of the bits of two other encoders are equal."""

_MIN_EQUAL_BITS_PER_BATCH: Final = 0.9

_PER_BATCH: Final = "int8-dynamic"


def measure(form: Form) -> Measure:
    """What agreement means for vectors of this form."""
    return "equal bits" if form == "binary" else "cosine"


def min_agreement(form: Form, precision: str | None, other: str | None = None) -> float:
    """The least agreement of two vectors of one text by one encoder.

    ``precision``, ``other``: of the weights that made the one and the other; None where that is not known.
    """
    if form == "binary":
        return _MIN_EQUAL_BITS_PER_BATCH if _PER_BATCH in (precision, other) else _MIN_EQUAL_BITS
    if _PER_BATCH in (precision, other) or (other is not None and other != precision):
        return _MIN_COSINE_PER_BATCH
    return _MIN_COSINE_EXACT if form == "float" and other == "fp32" else _MIN_COSINE


def read_vector(value: Any, form: Form) -> Numbers:
    """A vector as Milvus, or the service, gives it: bits as zeros and ones, sparse ones by index."""
    if value is None:
        return np.zeros(0)
    if form == "sparse":
        return {int(index): float(weight) for index, weight in dict(value).items()}
    data = value[0] if isinstance(value, list) and value and isinstance(value[0], bytes) else value
    if form == "binary":
        return np.unpackbits(np.frombuffer(data, np.uint8)).astype(np.float64)
    if isinstance(data, bytes):
        return np.frombuffer(data, np.int8).astype(np.float64)
    return np.asarray(data, np.float64).reshape(-1)


def has_content(vector: Numbers, form: Form) -> bool:
    """Whether a vector is of a text: Milvus Lite stores zeros for one that is empty."""
    if isinstance(vector, dict):
        return any(weight > 1e-20 for weight in vector.values())
    return vector.size > 0 if form == "binary" else bool(np.any(vector))


def agreement(first: Numbers, second: Numbers, form: Form) -> float:
    """The cosine, or for bits the share of equal ones; 0 for vectors of other lengths, or with NaN."""
    if isinstance(first, dict) or isinstance(second, dict):
        if not (isinstance(first, dict) and isinstance(second, dict)):
            return 0.0
        shared = sum(weight * second.get(index, 0.0) for index, weight in first.items())
        lengths = [sum(weight**2 for weight in vector.values()) ** 0.5 for vector in (first, second)]
        return _cosine(shared, lengths[0] * lengths[1])
    if first.shape != second.shape:
        return 0.0
    if form == "binary":
        return float(np.mean(first == second))
    return _cosine(float(first @ second), float(np.linalg.norm(first) * np.linalg.norm(second)))


def _cosine(product: float, lengths: float) -> float:
    cosine = product / max(lengths, 1e-30)
    return cosine if np.isfinite(cosine) else 0.0  # NaN is not less than any minimum
