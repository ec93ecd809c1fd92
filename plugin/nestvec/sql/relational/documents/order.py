"""PostgreSQL's order of JSON, and its text: DuckDB compares texts, and keeps keys in any order."""

from __future__ import annotations

import struct
from itertools import groupby
from typing import Any, Final

from nestvec.sqltypes.documents import parse_exact
from nestvec.sqltypes.jsonb import jsonb_text, key_rank

_EMPTY_ARRAY, _NULL, _STRING, _NUMBER, _FALSE, _TRUE, _ARRAY, _OBJECT = (bytes([rank]) for rank in range(8))
_SIGN: Final = 1 << 63
_ALL: Final = (1 << 64) - 1


def json_sort_key(document: str) -> bytes:
    """Bytes in the order of documents: null, strings, numbers, booleans, arrays, objects.

    The shorter array or object is first; an empty array, if it is the document, is before everything.
    """
    value = parse_exact(document)
    return _EMPTY_ARRAY if value == [] else _key(value)


def distinct_documents(documents: list[str | None], descending: bool, nulls_first: bool) -> list[str | None]:
    """Documents in their order, of equal ones the first."""
    sorted_ = sorted(
        (document for document in documents if document is not None), key=json_sort_key, reverse=descending
    )
    firsts: list[str | None] = [next(equal) for _, equal in groupby(sorted_, key=json_sort_key)]
    nulls: list[str | None] = [None] if len(sorted_) < len(documents) else []
    return nulls + firsts if nulls_first else firsts + nulls


def json_print(document: str) -> str:
    """A document as PostgreSQL prints it: the shorter keys first, and a space after each colon and comma."""
    return jsonb_text(document, spaced=True)


def _key(value: Any) -> bytes:
    if value is None:
        return _NULL
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, str):
        return _STRING + value.encode() + b"\0"
    if isinstance(value, list):
        return _ARRAY + struct.pack(">I", len(value)) + b"".join(map(_key, value))
    if isinstance(value, dict):
        keys = sorted(value, key=key_rank)
        items = (key.encode() + b"\0" + _key(value[key]) for key in keys)
        return _OBJECT + struct.pack(">I", len(value)) + b"".join(items)
    return _NUMBER + _number_key(value)


def _number_key(value: int | float) -> bytes:
    """A double's bits in its order, and what an integer has beyond it."""
    try:
        number = float(value)
    except OverflowError:
        number = float("inf") if value > 0 else float("-inf")
    (bits,) = struct.unpack(">Q", struct.pack(">d", number or 0.0))
    ordered = bits ^ (_ALL if bits & _SIGN else _SIGN)
    rest = value - int(number) if isinstance(value, int) and abs(number) < _SIGN * 4 else 0
    return struct.pack(">Qq", ordered, rest)
