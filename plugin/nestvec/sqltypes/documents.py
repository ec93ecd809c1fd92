"""Documents of JSON, whose integers Milvus stores in 64 bits."""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

from nestvec_schemas.errors import RowRejected

_NUMBERS_AND_NESTED: Final = frozenset({float, list, dict})

_MIN_INTEGER, _MAX_INTEGER = -(1 << 63), (1 << 64) - 1


def parse_document(text: str) -> Any:
    """The value of a text of JSON. Raises orjson.JSONDecodeError; RowRejected for an integer beyond 64 bits.

    orjson would read such an integer as a double, which is another number.
    """
    value = orjson.loads(text)
    if _may_be_rounded(value):
        try:
            json.loads(text, parse_int=_check_integer)
        except RecursionError:
            raise orjson.JSONDecodeError("too many levels", text, 0) from None
    return value


def parse_exact(text: str | bytes) -> Any:
    """The value of a text of JSON, with integers of any length. Raises orjson.JSONDecodeError."""
    value = orjson.loads(text)
    if not _may_be_rounded(value):
        return value
    decoded = text if isinstance(text, str) else text.decode()
    try:
        return json.loads(decoded)
    except (RecursionError, ValueError) as error:
        # int() refuses more than some thousand digits.
        raise orjson.JSONDecodeError(str(error), decoded, 0) from None


def _may_be_rounded(value: Any) -> bool:
    """Whether a document has a double that orjson may have made of an integer: all of those are large."""
    if type(value) is dict and _NUMBERS_AND_NESTED.isdisjoint(map(type, value.values())):
        return False  # most rows
    pending = [value]
    while pending:
        item = pending.pop()
        kind = type(item)
        if kind is float:
            if abs(item) >= -_MIN_INTEGER:
                return True
        elif kind is list:
            pending += item
        elif kind is dict:
            pending += item.values()
    return False


def _check_integer(digits: str) -> None:
    # int() of more digits may be refused.
    if len(digits) > len(str(_MAX_INTEGER)) or not _MIN_INTEGER <= int(digits) <= _MAX_INTEGER:
        raise RowRejected(
            "an integer of JSON is beyond 64 bits", value=digits[:40], next_step="Write it as a string."
        )
