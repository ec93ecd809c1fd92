"""Vectors in pgvector's notations: ``[1,2,3]``, ``101``, ``{1:1.5,3:2}/5``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from nestvec.sqltypes.vector_texts import to_bfloat16
from nestvec_schemas.errors import RowRejected

_BITS = re.compile("[01]*")
_SPARSE = re.compile(r"\s*\{(?P<entries>[^{}]*)\}\s*/\s*(?P<dims>\d{1,10})\s*", re.ASCII)
_ENTRY = re.compile(r"\s*(\d{1,10})\s*:\s*([+-]?[\d.]+(?:[eE][+-]?\d{1,3})?)\s*", re.ASCII)


def vector_text(value: object) -> object:
    """pgvector's own Python classes as the texts that they stand for; anything else unchanged."""
    to_text = getattr(value, "to_text", None)
    return to_text() if callable(to_text) else value


def to_numbers(value: object, dim: int | None) -> list[float]:
    """A dense vector. Raises RowRejected for anything but ``dim`` finite numbers."""
    value = vector_text(value)
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            value = None
    if not isinstance(value, (list, tuple)) or not all(
        isinstance(number, (int, float)) and not isinstance(number, bool) for number in value
    ):
        raise RowRejected("this is not a vector", value="", next_step="Write it as '[0.1, 0.2]'.")
    if dim is not None and len(value) != dim:
        raise RowRejected(
            f"expected {dim} dimensions, not {len(value)}",
            value=f"{len(value)} numbers",
            next_step=f"Write {dim} numbers.",
        )
    numbers = [float(number) for number in value]
    if not all(map(math.isfinite, numbers)):
        raise RowRejected("NaN and infinity are not allowed in a vector", value="", next_step="Remove them.")
    return numbers


def to_half(value: object, dim: int | None) -> np.ndarray[Any, np.dtype[np.float16]]:
    """A vector of 16-bit floats. Raises RowRejected beyond their range."""
    numbers = to_numbers(value, dim)
    beyond = next((number for number in numbers if abs(number) >= 65_520.0), None)
    if beyond is not None:
        raise RowRejected("the number is out of range for type halfvec", value=beyond, next_step="Scale it.")
    return np.asarray(numbers, np.float16)


def to_bfloat(value: object, dim: int | None) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A vector rounded to bfloat16, to nearest even, in 32 bits. Raises RowRejected beyond the range."""
    numbers = to_numbers(value, dim)
    with np.errstate(over="ignore"):
        rounded = to_bfloat16(np.asarray(numbers, np.float32))
    if not np.isfinite(rounded).all():
        beyond = numbers[int(np.flatnonzero(~np.isfinite(rounded))[0])]
        cause = "the number is out of range for type bfloat16_vector"
        raise RowRejected(cause, value=beyond, next_step="Scale it.")
    return rounded


def bfloat_bytes(numbers: np.ndarray[Any, np.dtype[np.float32]]) -> bytes:
    """Numbers of ``to_bfloat`` as Milvus stores them: the upper half of each."""
    return (numbers.view(np.uint32) >> 16).astype("<u2").tobytes()


def from_bfloat_bytes(stored: bytes) -> list[float]:
    """A vector as Milvus returns it."""
    bits = np.frombuffer(stored, "<u2").astype(np.uint32) << 16
    return bits.view(np.float32).tolist()  # type: ignore[no-any-return]


def to_bits(value: object, length: int) -> str:
    """A bit string of this length. Raises RowRejected."""
    value = vector_text(value)
    if isinstance(value, (list, tuple)) and all(bit in (0, 1) for bit in value):
        value = "".join("1" if bit else "0" for bit in value)
    if not isinstance(value, str) or not _BITS.fullmatch(value):
        raise RowRejected("this is not a bit string", value="", next_step="Write it as '101'.")
    if len(value) != length:
        raise RowRejected(
            f"bit string length {len(value)} does not match type bit({length})",
            value=value[:60],
            next_step=f"Write {length} bits.",
        )
    return value


def pack_bits(bits: str) -> bytes:
    """Bits as bytes, the first bit the highest, with zeros at the end."""
    return bytes(np.packbits(np.frombuffer(bits.encode(), np.uint8) - ord("0")))


def unpack_bits(stored: bytes, length: int) -> str:
    return "".join(map(str, np.unpackbits(np.frombuffer(stored, np.uint8))[:length].tolist()))


def to_sparse(value: object, dims: int | None) -> dict[int, float]:
    """Numbers by index from 0, without zeros; a text counts from 1, as pgvector does. Raises RowRejected."""
    value = vector_text(value)
    if isinstance(value, Mapping):
        entries = {int(index): float(number) for index, number in value.items()}
        own_dims = dims
    elif isinstance(value, str) and (match := _SPARSE.fullmatch(value)):
        entries, own_dims = _sparse_entries(match["entries"]), int(match["dims"])
    else:
        numbers = to_numbers(value, None)
        entries, own_dims = dict(enumerate(numbers)), len(numbers)
    if dims is not None and own_dims != dims:
        raise RowRejected(
            f"expected {dims} dimensions, not {own_dims}", value=own_dims, next_step="Correct it."
        )
    entries = {index: number for index, number in sorted(entries.items()) if number}
    beyond = next((index for index in entries if own_dims is not None and not 0 <= index < own_dims), None)
    if beyond is not None or not all(map(math.isfinite, entries.values())):
        raise RowRejected("sparsevec index out of bounds", value=beyond, next_step="Correct the index.")
    return entries


def _sparse_entries(text: str) -> dict[int, float]:
    entries: dict[int, float] = {}
    for part in text.split(",") if text.strip() else ():
        match = _ENTRY.fullmatch(part)
        if match is None or int(match[1]) == 0 or int(match[1]) - 1 in entries:
            raise RowRejected(
                "this is not a sparse vector", value=part[:60], next_step="Write it as '{1:0.5,3:2}/5'."
            )
        try:
            entries[int(match[1]) - 1] = float(match[2])
        except ValueError as error:
            raise RowRejected(
                "this is not a number", value=match[2][:60], next_step="Write it as '{1:0.5,3:2}/5'."
            ) from error
    return entries
