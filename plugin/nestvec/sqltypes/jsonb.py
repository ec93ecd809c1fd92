"""Texts of JSON as PostgreSQL keeps them in a JSONB."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final, NoReturn

_MAX_EXPONENT: Final = 300


class _Number(str):
    """A number that is written as it was read."""

    __slots__ = ()


def jsonb_text(text: str, *, spaced: bool = False) -> str:
    """A document with its keys in PostgreSQL's order, the last of equal keys, and plain numbers.

    ``spaced`` writes a space after each colon and comma, as PostgreSQL prints it.

    A text that is no document, or that PostgreSQL refuses, is returned as it is.
    """
    try:
        value = json.loads(text, parse_float=_plain_number, parse_int=_plain_number, parse_constant=_refuse)
        document = _document_text(value, " " if spaced else "")
        # Half of a surrogate pair cannot be encoded.
        document.encode()
    except (ValueError, RecursionError):
        return text
    return text if "\\u0000" in document else document


def key_rank(key: str) -> tuple[int, bytes]:
    """PostgreSQL's order of the keys of a document: the shorter first, then by their bytes."""
    encoded = key.encode()
    return len(encoded), encoded


def _plain_number(text: str) -> _Number:
    number = Decimal(text)
    if abs(number.adjusted()) > _MAX_EXPONENT:
        raise ValueError(text)
    return _Number(f"{number if number else abs(number):f}")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _document_text(value: Any, space: str) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, list):
        return f"[{f',{space}'.join(_document_text(item, space) for item in value)}]"
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    items = (
        f"{json.dumps(key, ensure_ascii=False)}:{space}{_document_text(value[key], space)}"
        for key in sorted(value, key=key_rank)
    )
    return f"{{{f',{space}'.join(items)}}}"
