"""Texts are wrapped to a width between words, and keep their words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.terminal.wrapping import text_width, wrap


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 5, [""]),
        ("short", 5, ["short"]),
        ("two words", 5, ["two", "words"]),
        ("a b c d e", 3, ["a b", "c d", "e"]),
        ("indented\n  code", 20, ["indented", "  code"]),
        ("abcdefgh ij", 3, ["abc", "def", "gh", "ij"]),
        ("日本語", 4, ["日本", "語"]),
        ("one\n\ntwo", 5, ["one", "", "two"]),
        ("trailing   ", 8, ["trailing"]),
    ],
)
def test_wrap(text: str, width: int, lines: list[str]) -> None:
    assert wrap(text, width) == lines


@given(text=st.text("ab 語\n", max_size=80), width=st.integers(2, 30))
def test_lines_fit_and_words_are_kept(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert max(map(text_width, lines), default=0) <= width
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_the_width_is_that_of_the_longest_line() -> None:
    assert text_width("") == 0
    assert text_width("abc\nde") == 3
    assert text_width("語\nabc") == 3
    assert text_width("語語") == 4


def test_a_line_of_spaces_alone_keeps_its_place() -> None:
    assert wrap("      ", 3) == [""]
    assert wrap("a\n      \nb", 3) == ["a", "", "b"]
