"""Numbers and strings in PostgreSQL's notations, and what only looks like one."""

from __future__ import annotations

import pytest

from nestvec.sql.parse.tokens import tokenize


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0x1F", ["31"]),
        ("0X_1f", ["31"]),
        ("0o17", ["15"]),
        ("0b101+1", ["5", "+", "1"]),
        ("1_000", ["1000"]),
        ("1_000.5_0e1_0", ["1000.50e10"]),
        ("[1_0:2_0]", ["[", "10", ":", "20", "]"]),
        ("1_000_", ["1", "_000_"]),
        ("1 _000", ["1", "_000"]),
        ("'1_000'", ["1_000"]),
        ("$$a'b$$", ["a'b"]),
        ("$x$a$$b$x$", ["a$$b"]),
        ("($1,$2)", ["(", "$", "1", ",", "$", "2", ")"]),
        ("'$$' || '$$'", ["$$", "||", "$$"]),
    ],
)
def test_tokens_of_an_expression(written: str, expected: list[str]) -> None:
    tokens = tokenize(f"SELECT {written}")[1:]
    assert [token.text for token in tokens] == expected
    assert (tokens[0].start, tokens[-1].end) == (7, 6 + len(written))


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("1e2+1", ["1e2", "+", "1"]),
        ("1e-2-1e+3-1_000, '1e2+1'", ["1e-2", "-", "1e+3", "-", "1000", ",", "1e2+1"]),
        ("p>1.5e3-2*5 -- 1e2+1\n+1e1+7", ["p", ">", "1.5e3", "-", "2", "*", "5", "+", "1e1", "+", "7"]),
        ("1e2-a, 1e2+-3", ["1e2", "-", "a", ",", "1e2", "+", "-", "3"]),
    ],
)
def test_a_sign_after_an_exponent_is_an_operator(statement: str, expected: list[str]) -> None:
    tokens = tokenize(statement)
    assert [token.text for token in tokens] == expected
    sources = [statement[token.start : token.end + 1] for token in tokens]
    assert [source.replace("_", "").strip("'") for source in sources] == expected
