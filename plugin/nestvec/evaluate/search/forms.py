"""Forms in which vectors are searched, each a pure function; they are compared by inner product."""

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
    """What of a vector is searched."""

    coding: Coding

    dim: int
    """How many of its first numbers."""

    unrotated: bool = False
    """Whether the encoder's rotation is undone first."""


def float_form(vectors: Vectors, dim: int) -> Vectors:
    """Truncated and normalised: (n, full) float32 to (n, dim) float32. Products are cosines."""
    return nest(vectors, dim)


def int8_form(vectors: Vectors, dim: int) -> Vectors:
    """The integers of an int8 field, normalised: (n, full) float32 to (n, dim) float32.

    Products are the cosines that Milvus computes from the raw integers.
    """
    return normalise(to_int8(truncate(vectors, dim)).astype(np.float32))


def binary_form(vectors: Vectors, dim: int) -> Vectors:
    """Signs as 1 and -1, (n, full) float32 to (n, dim) float32: a product is dim - 2 x Hamming distance.

    As in Binary Paragraph Vectors (Grzegorczyk & Kurdziel 2017); a bit is 1 if the number is above 0.
    """
    return np.where(truncate(vectors, dim) > 0, np.float32(1), np.float32(-1))


_PREPARE: dict[Coding, Callable[[Vectors, int], Vectors]] = {
    "float": float_form,
    "int8": int8_form,
    "binary": binary_form,
}


def prepare(vectors: Vectors, form: VectorForm) -> Vectors:
    """``vectors`` as ``form`` compares them, (n, full) float32 to (n, form.dim) float32."""
    return _PREPARE[form.coding](vectors, form.dim)


def searched_bytes(form: Form, dim: int) -> int:
    """Bytes of one vector that a search reads."""
    return {"float": FLOAT_BYTES * dim, "int8": dim, "binary": -(-dim // 8), "shortlist": FLOAT_BYTES * dim}[
        form
    ]


def stored_bytes(form: Form, dim: int, full: int) -> int:
    """Bytes of one vector that are stored: with the full-length one if it rescores candidates.

    A shortlist's short and full-length vectors are two fields, as in Milvus.
    """
    rescored = FLOAT_BYTES * full if form in ("binary", "shortlist") else 0
    return searched_bytes(form, dim) + rescored
