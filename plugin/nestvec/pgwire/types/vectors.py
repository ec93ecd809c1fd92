"""pgvector's types: vector, halfvec, sparsevec, and bit."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from nestvec.pgwire.errors import PgError
from nestvec.sqltypes import vector_texts

MAX_DIM: Final = 32_768
"""Numbers of a vector in Milvus."""


def parse_vector(text: str) -> list[float]:
    """The numbers of ``[1,2.5,3]``. Raises PgError."""
    inner = text.strip()
    if not (inner.startswith("[") and inner.endswith("]")) or inner.count(",") >= MAX_DIM:
        raise _invalid("vector", text)
    try:
        return [float(part) for part in inner[1:-1].split(",")] if inner[1:-1].strip() else []
    except ValueError as error:
        raise _invalid("vector", text) from error


def encode_vector(value: Any, half: bool = False) -> bytes:
    """The dim and the numbers, of 4 bytes, or 2 if ``half``."""
    numbers = np.asarray(parse_vector(value) if isinstance(value, str) else value, ">f2" if half else ">f4")
    return struct.pack("!Hh", len(numbers), 0) + numbers.tobytes()


def decode_vector(data: bytes, half: bool = False) -> list[float]:
    """The numbers of a vector in binary. Raises PgError."""
    size = 2 if half else 4
    dim = int.from_bytes(data[:2], "big")
    if len(data) != 4 + size * dim or dim > MAX_DIM:
        raise PgError("22P03", f"a vector of {dim} dims has {len(data)} bytes")
    numbers: list[float] = np.frombuffer(data, ">f2" if half else ">f4", offset=4).astype(np.float64).tolist()
    return numbers


def sparse_text(value: Any) -> bytes:
    """``{1:0.5,7:2}/30522``, with indices from 1; without a known dim, that of the largest index."""
    if isinstance(value, str):
        return value.encode()
    return vector_texts.sparse_text(dict(_weights(value))).encode()


def encode_sparse(value: Any) -> bytes:
    """The dim, the number of weights, their indices from 0, the weights."""
    weights = _weights(parse_sparse(value) if isinstance(value, str) else value)
    count, shown_dim = len(weights), value.rpartition("/")[2].strip() if isinstance(value, str) else ""
    return struct.pack(
        f"!iii{count}i{count}f",
        int(shown_dim) if shown_dim.isdecimal() else _sparse_dim(weights),
        count,
        0,
        *(index for index, _ in weights),
        *(weight for _, weight in weights),
    )


def parse_sparse(text: str) -> dict[int, float]:
    """The weights of ``{1:0.5}/30522`` by index from 0. Raises PgError."""
    inner, _, _ = text.strip().rpartition("/")
    if not (inner.startswith("{") and inner.endswith("}")):
        raise _invalid("sparsevec", text)
    try:
        pairs = [pair.split(":") for pair in inner[1:-1].split(",")] if inner[1:-1].strip() else []
        return {int(index) - 1: float(weight) for index, weight in pairs}
    except ValueError as error:
        raise _invalid("sparsevec", text) from error


def decode_sparse(data: bytes) -> dict[int, float]:
    """The weights of a sparse vector in binary, by index from 0. Raises PgError."""
    try:
        _, count, _ = struct.unpack_from("!iii", data)
        if count < 0 or len(data) != 12 + 8 * count:
            raise PgError("22P03", f"a sparse vector of {count} weights has {len(data)} bytes")
        values = struct.unpack_from(f"!{count}i{count}f", data, 12)
    except struct.error as error:
        raise PgError("22P03", "a sparse vector ends too early") from error
    return dict(zip(values[:count], values[count:], strict=True))


def bit_text(value: Any) -> bytes:
    """``0110``."""
    if isinstance(value, str):
        return value.encode()
    # pymilvus returns a binary vector as a list that holds its bytes.
    data = value[0] if isinstance(value, list) and value and isinstance(value[0], bytes) else bytes(value)
    return "".join(f"{byte:08b}" for byte in data).encode()


def encode_bit(value: Any) -> bytes:
    """The number of bits, and the bits in bytes."""
    bits = bit_text(value).decode()
    padded = bits.ljust(-(-len(bits) // 8) * 8, "0")
    return struct.pack("!i", len(bits)) + bytes(
        int(padded[at : at + 8], 2) for at in range(0, len(padded), 8)
    )


def decode_bit(data: bytes) -> str:
    """The bits as text. Raises PgError."""
    count = int.from_bytes(data[:4], "big", signed=True)
    bits = "".join(f"{byte:08b}" for byte in data[4:])
    if len(data) < 4 or not 0 <= count <= len(bits):
        raise PgError("22P03", "a bit string has a wrong length")
    return bits[:count]


def _weights(value: Any) -> list[tuple[int, float]]:
    items = value.items() if isinstance(value, Mapping) else value
    return sorted((int(index), float(weight)) for index, weight in items)


def _sparse_dim(weights: list[tuple[int, float]]) -> int:
    return vector_texts.sparse_dims(dict(weights))


def _invalid(name: str, text: str) -> PgError:
    return PgError("22P02", f'invalid input syntax for type {name}: "{text[:100]}"')
