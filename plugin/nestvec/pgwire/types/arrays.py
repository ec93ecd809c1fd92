"""Arrays as text, ``{1,2,NULL}``, and as binary."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from nestvec.pgwire.errors import PgError
from nestvec.pgwire.protocol.messages import decode_text
from nestvec.sqltypes.arrays import quote_element

MAX_DIMENSIONS: Final = 6
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.S)
_BARE: Final = re.compile(r"((?:[^{}\",\\]|\\.)*)", re.S)
_ESCAPED: Final = re.compile(r"\\(.)", re.S)

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], Any]


def is_sequence(value: object) -> bool:
    """Whether a value is an array or a dimension of one."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))


def encode_array_text(value: Any, encode: Encode, flat: bool = False) -> bytes:
    """An array as text; ``flat`` if its elements may be sequences themselves, such as vectors."""
    if not is_sequence(value):
        return _item(value, encode)
    items = (_item(item, encode) if flat else encode_array_text(item, encode) for item in value)
    return b"{" + b",".join(items) + b"}"


def _item(value: Any, encode: Encode) -> bytes:
    if value is None:
        return b"NULL"
    return quote_element(encode(value).decode()).encode()


def decode_array_text(data: bytes, decode: Decode) -> list[Any]:
    """The elements of an array; lists of lists if it has several dimensions. Raises PgError."""
    text = decode_text(data).strip()
    # Bounds, ``[0:2]={…}``, do not change the elements.
    start = text.find("={") + 1 if text.startswith("[") else 0
    value, at = _parse(text, start, decode, 1)
    if text[at:].strip():
        raise malformed_array(text)
    return value


def _parse(text: str, at: int, decode: Decode, depth: int) -> tuple[list[Any], int]:
    if text[at : at + 1] != "{" or depth > MAX_DIMENSIONS:
        raise malformed_array(text)
    items, at = list[Any](), _skip(text, at + 1)
    if text[at : at + 1] == "}":
        return items, at + 1
    while True:
        at = _skip(text, at)
        if text[at : at + 1] == "{":
            inner, at = _parse(text, at, decode, depth + 1)
            items.append(inner)
        elif text[at : at + 1] == '"':
            match = _QUOTED.match(text, at)
            if match is None:
                raise malformed_array(text)
            items.append(decode(_ESCAPED.sub(r"\1", match[1]).encode()))
            at = match.end()
        else:
            match = _BARE.match(text, at)
            item = match[1].strip() if match else ""
            if not item or match is None:
                raise malformed_array(text)
            plain = _ESCAPED.sub(r"\1", item)
            items.append(None if item.upper() == "NULL" else decode(plain.encode()))
            at = match.end()
        at = _skip(text, at)
        mark, at = text[at : at + 1], at + 1
        if mark == "}":
            return items, at
        if mark != ",":
            raise malformed_array(text)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def malformed_array(text: str) -> PgError:
    """What PostgreSQL says of a text that is not an array."""
    return PgError("22P02", f'malformed array literal: "{text[:100]}"')


def encode_array_binary(
    value: Any, element: int, encode: Encode, *, first: int = 1, flat: bool = False
) -> bytes:
    """An array in binary; ``element`` is the type of its elements, which may be sequences if it is ``flat``.

    ``first`` is the index of the first element. Raises PgError for ragged dimensions.
    """
    dims, level = list[int](), value
    while is_sequence(level) and not (flat and dims):
        dims.append(len(level))
        level = level[0] if level else None
    leaves = _flatten(value, dims)
    if not leaves:
        return struct.pack("!iiI", 0, 0, element)
    has_null = any(item is None for item in leaves)
    head = struct.pack("!iiI", len(dims), has_null, element)
    bounds = b"".join(struct.pack("!ii", dim, first) for dim in dims)
    parts = [head, bounds]
    for item in leaves:
        if item is None:
            parts.append(b"\xff\xff\xff\xff")
        else:
            data = encode(item)
            parts += (struct.pack("!i", len(data)), data)
    return b"".join(parts)


def _flatten(value: Any, dims: Sequence[int]) -> list[Any]:
    if not dims:
        return [value]
    if not is_sequence(value) or len(value) != dims[0]:
        raise PgError("2202E", "the arrays in an array differ in their length")
    return [leaf for item in value for leaf in _flatten(item, dims[1:])]


def decode_array_binary(data: bytes, decode: Callable[[int, bytes], Any]) -> list[Any]:
    """The elements of an array; ``decode`` is called with their type. Raises PgError."""
    try:
        count, _, element = struct.unpack_from("!iiI", data)
        if not 0 <= count <= MAX_DIMENSIONS:
            raise PgError("22P03", f"an array of {count} dimensions")
        dims = [struct.unpack_from("!i", data, 12 + 8 * index)[0] for index in range(count)]
        at, flat = 12 + 8 * count, list[Any]()
        total = 1 if dims else 0
        for dim in dims:
            # Each element takes 4 bytes at least: a larger product is not that of real data.
            total *= dim
            if dim < 0 or total > len(data) // 4:
                raise PgError("22P03", "an array is shorter than its dimensions say")
        for _ in range(total):
            (length,) = struct.unpack_from("!i", data, at)
            at += 4
            if length == -1:
                flat.append(None)
                continue
            if length < 0 or at + length > len(data):
                raise PgError("22P03", "an element of an array has a wrong length")
            flat.append(decode(element, data[at : at + length]))
            at += length
    except struct.error as error:
        raise PgError("22P03", "an array ends too early") from error
    if at != len(data):
        raise PgError("22P03", "an array is longer than its dimensions say")
    for dim in reversed(dims[1:]):
        flat = [flat[start : start + dim] for start in range(0, len(flat), dim)] if dim else []
    return flat
