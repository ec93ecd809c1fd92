"""Documents of JSON: integers that Milvus cannot store are refused, not changed."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.sqltypes.documents import parse_document, parse_exact
from nestvec_schemas.errors import RowRejected

_LEAVES = (
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text() | st.floats(-1e9, 1e9)
)
_VALUES = st.recursive(
    _LEAVES, lambda items: st.lists(items) | st.dictionaries(st.text(), items), max_leaves=9
)


@given(_VALUES)
def test_a_document_is_what_was_written(value: Any) -> None:
    assert parse_document(json.dumps(value)) == value


@given(st.recursive(_LEAVES | st.integers() | st.floats(allow_nan=False, allow_infinity=False), st.lists))
def test_integers_of_any_length_are_exact(value: Any) -> None:
    read = parse_exact(json.dumps(value).encode())
    assert read == value
    assert json.dumps(read) == json.dumps(value)


@pytest.mark.parametrize("number", [1 << 64, -(1 << 63) - 1, 10**40, -(10**300)])
def test_an_integer_beyond_64_bits_is_refused(number: int) -> None:
    digits = f"{number}"
    with pytest.raises(RowRejected, match="beyond 64 bits") as caught:
        parse_document(f'{{"a": [1, {digits}]}}')
    assert caught.value.value == digits[:40]


def test_digits_of_strings_and_doubles_are_no_integers() -> None:
    text = '{"123456789012345678901": "123456789012345678901", "a": 1.5e30, "b": 0.1234567890123456789012}'
    assert parse_document(text) == orjson.loads(text)


def test_a_document_of_too_many_levels_is_no_json() -> None:
    with pytest.raises(orjson.JSONDecodeError):
        parse_document("[" * 1_010 + "12345678901234567890123" + "]" * 1_010)
