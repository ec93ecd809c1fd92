"""Texts of vectors as pgvector reads and writes them, with its words for what is none."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float32]]

_SPACES: Final = " \t\n\r\v\f"
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf(?:inity)?|nan)", re.I | re.A)
_SPARSE = re.compile(r"\{(?P<entries>[^{}]*)\}\s*/\s*(?P<dims>[+-]?\d+)", re.ASCII)
_INDEX = re.compile(r"[+-]?\d+", re.ASCII)
_MAX_SHOWN: Final = 100
LEAST_FIXED: Final = 0.001
FIRST_EXPONENT: Final = 100_000
"""Numbers whose text may have an exponent are below the one, or from the other on."""
_LEAST_DIGITS: Final = 4
_MAX_DIGITS: Final = 6
MAX_SPARSE_DIMS: Final = 1_000_000_000
_MAX_INDEX: Final = (1 << 31) - 1


@dataclass(frozen=True)
class SparseVector:
    """The numbers that are not zero, by rising indexes from 0."""

    dims: int
    indexes: tuple[int, ...]
    numbers: tuple[float, ...]

    def __str__(self) -> str:
        return sparse_text(dict(zip(self.indexes, self.numbers, strict=True)), self.dims)


def read_vector(text: str, kind: str) -> Floats:
    """The numbers of ``[1, 2.5]``, rounded as the type stores them. Raises ValueError in pgvector's words."""
    body = text.strip(_SPACES)
    syntax = f'invalid input syntax for type {kind}: "{text[:_MAX_SHOWN]}"'
    if not body.startswith("["):
        raise ValueError(syntax)
    inner = body[1:-1].strip(_SPACES)
    if body.endswith("]") and not inner:
        raise ValueError(f"{kind} must have at least 1 dimension")
    parts = [part.strip(_SPACES) for part in inner.split(",")]
    if not body.endswith("]") or not all(map(_NUMBER.fullmatch, parts)):
        raise ValueError(syntax)
    numbers = np.asarray([float(part) for part in parts], np.float64)
    check_finite(numbers, kind)
    with np.errstate(over="ignore"):
        stored = numbers.astype(np.float32)
    check_range(stored, parts, kind)
    return rounded(stored, kind)


def real_text(number: float) -> str:
    """A 32-bit float as PostgreSQL writes it: its shortest text, with an exponent from 1e+06 on."""
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    if number and not LEAST_FIXED <= abs(number) < FIRST_EXPONENT:
        text = np.format_float_scientific(np.float32(number), unique=True, trim="-", exp_digits=2)
        if not -_LEAST_DIGITS <= int(text.partition("e")[2]) < _MAX_DIGITS:
            return text
    return np.format_float_positional(np.float32(number), unique=True, trim="-")


def check_finite(numbers: np.ndarray[Any, Any], kind: str) -> None:
    """Raise ValueError for NaN and infinity."""
    if np.isnan(numbers).any():
        raise ValueError(f"NaN not allowed in {kind}")
    if np.isinf(numbers).any():
        raise ValueError(f"infinite value not allowed in {kind}")


def check_range(stored: Floats, texts: Sequence[str], kind: str) -> None:
    """Raise ValueError for the first number that the type has no room for."""
    beyond = np.flatnonzero(np.isinf(rounded(stored, kind, checked=False)))
    if len(beyond):
        raise ValueError(f'"{texts[int(beyond[0])]}" is out of range for type {kind}')


def rounded(numbers: Floats, kind: str, *, checked: bool = True) -> Floats:
    """Numbers as a type stores them, in 32 bits. Raises ValueError beyond its range, if ``checked``."""
    if kind in ("vector", "sparsevec"):
        return numbers
    with np.errstate(over="ignore"):
        if kind == "halfvec":
            stored: Floats = numbers.astype(np.float16).astype(np.float32)
        else:
            stored = to_bfloat16(numbers)
    if checked and (beyond := np.flatnonzero(np.isinf(stored))).size:
        shown = real_text(float(numbers.reshape(-1)[int(beyond[0])]))
        raise ValueError(f'"{shown}" is out of range for type {kind}')
    return stored


def to_bfloat16(numbers: Floats) -> Floats:
    """The nearest bfloat16 of each number, to nearest even, in 32 bits: infinity beyond the range."""
    bits = numbers.view(np.uint32)
    upper: Floats = ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
    return upper


def read_sparse(text: str) -> SparseVector:
    """``{1:0.5,3:2}/5``, whose indexes count from 1. Raises ValueError in pgvector's words."""
    syntax = f'invalid input syntax for type sparsevec: "{text[:_MAX_SHOWN]}"'
    match = _SPARSE.fullmatch(text.strip(_SPACES))
    if match is None:
        raise ValueError(syntax)
    indexes, texts = list[int](), list[str]()
    for entry in match["entries"].split(",") if match["entries"].strip(_SPACES) else ():
        index, colon, number = (part.strip(_SPACES) for part in entry.partition(":"))
        if not colon or not _INDEX.fullmatch(index) or not _NUMBER.fullmatch(number):
            raise ValueError(syntax)
        indexes.append(min(int(index), _MAX_INDEX) - 1)
        texts.append(number)
    numbers = np.asarray([float(number) for number in texts], np.float64)
    check_finite(numbers, "sparsevec")
    with np.errstate(over="ignore"):
        stored = numbers.astype(np.float32)
    outside = np.isinf(stored) | ((stored == 0) & (numbers != 0))
    if outside.any():
        raise ValueError(f'"{texts[int(np.flatnonzero(outside)[0])]}" is out of range for type sparsevec')
    return make_sparse(int(match["dims"]), indexes, stored.tolist())


def sparse_text(entries: Mapping[int, float], dims: int | None = None) -> str:
    """``{1:0.5,3:2}/5``, of entries by their indexes from 0. Without ``dims`` up to the largest."""
    pairs = sorted((int(index), float(number)) for index, number in entries.items())
    parts = ",".join(f"{index + 1}:{real_text(number)}" for index, number in pairs)
    return f"{{{parts}}}/{sparse_dims(entries) if dims is None else dims}"


def sparse_dims(entries: Mapping[int, float]) -> int:
    """The dimensions up to the largest index."""
    return int(max(entries, default=0)) + 1


def make_sparse(dims: int, indexes: Sequence[int], numbers: Sequence[float]) -> SparseVector:
    """A vector of these numbers, without zeros. Raises ValueError for indexes that are beside it."""
    if dims < 1:
        raise ValueError("sparsevec must have at least 1 dimension")
    if dims > MAX_SPARSE_DIMS:
        raise ValueError(f"sparsevec cannot have more than {MAX_SPARSE_DIMS} dimensions")
    pairs = sorted(pair for pair in zip(indexes, numbers, strict=True) if pair[1])
    positions = [at for at, _ in pairs]
    if len(set(positions)) < len(positions):
        raise ValueError("sparsevec indices must not contain duplicates")
    if any(not 0 <= at < dims for at in positions):
        raise ValueError("sparsevec index out of bounds")
    return SparseVector(dims, tuple(positions), tuple(number for _, number in pairs))


def sparse_sort_key(vector: SparseVector) -> bytes:
    """Bytes whose order is pgvector's: that of all numbers, with the zeros, then of the dimensions."""
    parts = bytearray()
    for at, number in zip(vector.indexes, vector.numbers, strict=True):
        bits = int.from_bytes(struct.pack(">f", number), "big")
        if number > 0:
            parts += b"\x02" + (_MAX_INDEX - at).to_bytes(4, "big") + bits.to_bytes(4, "big")
        else:
            parts += b"\x00" + at.to_bytes(4, "big") + (bits ^ 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(parts + b"\x01" + vector.dims.to_bytes(4, "big"))
