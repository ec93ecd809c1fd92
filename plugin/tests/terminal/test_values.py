"""Numbers print as the shortest text that is read back as the same number."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.terminal.values import escape_control_characters, shortest, shortest_float32


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.2, "2.2"),
        (1.0, "1"),
        (-0.5, "-0.5"),
        (1.23e-05, "1.23e-05"),
        (1e22, "1e+22"),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
    ],
)
def test_doubles(value: float, text: str) -> None:
    assert shortest(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.200000047683716, "2.2"),
        (0.10000000149011612, "0.1"),
        (1.0, "1"),
        (10.0, "10"),
        (-120.0, "-120"),
        (500000.0, "500000"),
        (1e6, "1e+06"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers_of_32_bits(value: float, text: str) -> None:
    assert shortest_float32(value) == text


@given(st.floats(allow_nan=False))
def test_doubles_are_read_back(value: float) -> None:
    assert float(shortest(value).replace("Infinity", "inf")) == value


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_numbers_of_32_bits_are_read_back(value: float) -> None:
    text = shortest_float32(value)
    assert struct.pack("f", float(text)) == struct.pack("f", value)
    assert len(text) <= len("-1.09457074e+15")


def test_control_characters_are_escaped() -> None:
    assert escape_control_characters("plain ü 語") == "plain ü 語"
    assert escape_control_characters("a\x1b[31mb\r\nc\x85") == "a\\x1b[31mb\\x0d\nc\\x85"
    assert escape_control_characters("a\tb") == "a   b"
