"""PostgreSQL's containment and equality of JSON: DuckDB looks into nested parts, and compares texts."""

from __future__ import annotations

import json
import re
from decimal import Context, Decimal, DecimalException
from typing import Any, Final

import orjson

from nestvec.sql.relational.documents.order import json_print

_MAX_WHOLE: Final = 2**63
"""From here on orjson writes no integers."""
_LONG: Final = re.compile(r"[0-9.]{16}|[0-9][eE]")
"""Numbers that may have more digits than a double, or an exponent."""
_DOUBLE_DIGITS: Final = 15
_DOUBLE_EXPONENT: Final = 300


def json_contains(document: str, part: str) -> bool:
    """Whether ``document @> part``, two texts of JSON."""
    left, right = _read(document), _read(part)
    if isinstance(left, list) and not isinstance(right, (list, dict)):
        # Only at the top, an array contains a scalar.
        right = [right]
    return _contains(left, right)


def json_normal(document: str) -> str:
    """A text that is the same for equal documents: the order of keys and 1.0 for 1 do not matter."""
    return orjson.dumps(_read(document), option=orjson.OPT_SORT_KEYS).decode()


def json_equal_form(document: str) -> str:
    """The same, which prints as the document does. Raises ValueError if it has numbers such as 1.0."""
    normal = json_normal(document)
    if json_print(normal) != json_print(document):
        raise ValueError(
            "UNION in WITH RECURSIVE of JSONB with numbers of many digits, or zeros at their end, is not "
            f"supported: {document[:60]}. Write UNION ALL, or cast the document to text"
        )
    return normal


def _read(document: str) -> Any:
    """The value of a document; of equal numbers the same, with all their digits."""
    if _LONG.search(document):
        return json.loads(document, parse_int=_number, parse_float=_number)
    return _whole_numbers(orjson.loads(document))


def _whole_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(text: str) -> int | float | str:
    """A number; as a text behind a character that no text of JSONB has, if a double would round it."""
    try:
        number = Decimal(text).normalize(Context(prec=len(text) + 1))
    except DecimalException:
        raise ValueError(f"value overflows numeric format: {text[:60]}") from None
    exponent = number.adjusted()
    if exponent < len(str(_MAX_WHOLE)) and number == number.to_integral_value() and abs(number) < _MAX_WHOLE:
        return int(number)
    if len(number.as_tuple().digits) <= _DOUBLE_DIGITS and abs(exponent) < _DOUBLE_EXPONENT:
        return float(number)
    return f"\0{number}"


def _contains(left: Any, right: Any) -> bool:
    if isinstance(right, dict):
        return isinstance(left, dict) and all(
            key in left and _contains(left[key], value) for key, value in right.items()
        )
    if isinstance(right, list):
        return isinstance(left, list) and all(any(_contains(item, value) for item in left) for value in right)
    # In Python, True == 1.
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
