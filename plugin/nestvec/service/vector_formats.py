"""How vectors are written in a response: as numbers of several types, or as base64 of their bytes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nestvec_schemas.binary_codes import sign_bits
from nestvec_schemas.errors import BodyInvalid, nearest
from nestvec_schemas.vectors import Vectors, to_int8

DTYPES: Final[dict[str, Callable[[Vectors], NDArray[Any]]]] = {
    "float": lambda vectors: vectors,
    "int8": to_int8,
    "uint8": lambda vectors: (to_int8(vectors).astype(np.int16) + 128).astype(np.uint8),
    "ubinary": sign_bits,
    "binary": lambda vectors: (sign_bits(vectors).astype(np.int16) - 128).astype(np.int8),
}
"""The numbers of vectors, (n, dim) float32, in each type.

``binary`` and ``ubinary`` have a bit for each number. ``uint8`` is ``int8`` plus 128, and ``binary`` is
``ubinary`` minus 128.
"""


def check_format(name: str, available: Iterable[str], what: str) -> str:
    """The name, if it is that of an available format. Raises BodyInvalid."""
    names = list(available)
    if name not in names:
        raise BodyInvalid(
            f"there is no such {what}",
            value=name,
            next_step=f"Available: {', '.join(names)}.{nearest(name, names)}",
        )
    return name


def base64_rows(vectors: NDArray[Any]) -> list[str]:
    """Each vector of (n, dim) as base64 of its numbers, little-endian."""
    little_endian = vectors.astype(vectors.dtype.newbyteorder("<"), copy=False)
    return [base64.b64encode(row.tobytes()).decode("ascii") for row in little_endian]
