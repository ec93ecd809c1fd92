"""Forms in which vectors are searched, each a pure function: what is compared is always an inner product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from nestvec_schemas.vectors import FLOAT_BYTES, Vectors, nest, normalise, to_int8, truncate

Form = Literal["float", "int8", "binary", "shortlist"]
Coding = Literal["float", "int8", "binary"]
Nesting = Literal["plain", "rotated", "trained"]

FORMS: Final[tuple[Form, ...]] = ("float", "int8", "binary", "shortlist")


@dataclass(frozen=True)
class VectorForm:
    """What of a vector is searched: the coding of its first ``dim`` numbers.

    ``unrotated``: of the vector as it was before the encoder's rotation.
    """

    coding: Coding
    dim: int
    unrotated: bool = False


def float_form(vectors: Vectors, dim: int) -> Vectors:
    """Truncated, then normalised: (n, full) float32 to (n, dim) float32, whose products are cosines."""
    return nest(vectors, dim)


def int8_form(vectors: Vectors, dim: int) -> Vectors:
    """The whole numbers that an int8 field holds, normalised: (n, full) float32 to (n, dim) float32.

    Products are the cosines that Milvus computes from the raw integers.
    """
    return normalise(to_int8(truncate(vectors, dim)).astype(np.float32))


def binary_form(vectors: Vectors, dim: int) -> Vectors:
    """Signs as 1 and -1, (n, full) float32 to (n, dim) float32: a product is dim - 2 x Hamming distance.

    Binary Paragraph Vectors (Grzegorczyk & Kurdziel 2017); a bit is 1 where the number is above 0.
    """
    return np.where(truncate(vectors, dim) > 0, np.float32(1), np.float32(-1))


_PREPARE: dict[Coding, Callable[[Vectors, int], Vectors]] = {
    "float": float_form,
    "int8": int8_form,
    "binary": binary_form,
}


def prepare(vectors: Vectors, form: VectorForm) -> Vectors:
    """``vectors`` as ``cut`` compares them, (n, full) float32 to (n, cut.dim) float32."""
    return _PREPARE[form.coding](vectors, form.dim)


def searched_bytes(form: Form, dim: int) -> int:
    """Bytes of one vector that a search goes through."""
    return {"float": FLOAT_BYTES * dim, "int8": dim, "binary": -(-dim // 8), "shortlist": FLOAT_BYTES * dim}[
        form
    ]


def stored_bytes(form: Form, dim: int, full: int) -> int:
    """Bytes of one vector that are kept: with the full one where candidates are scored again by it.

    A shortlist's short and full vectors are two fields, as Milvus needs them.
    """
    rescored = FLOAT_BYTES * full if form in ("binary", "shortlist") else 0
    return searched_bytes(form, dim) + rescored
