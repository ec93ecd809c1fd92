"""Values of variables in statements and in arguments of commands."""

from __future__ import annotations

import pytest

from nestvec.shell.variables import interpolate, parse_boolean, words
from nestvec_schemas.errors import SqlSyntaxError


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT :'t', :\"c\"", "SELECT 'it''s', \"a b\""),
        ("SELECT ':''t''' AS \":'t'\" -- :'t'", "SELECT ':''t''' AS \":'t'\" -- :'t'"),
        ("SELECT $$:'t'$$, /* :'t' */ 'a'::'t'", "SELECT $$:'t'$$, /* :'t' */ 'a'::'t'"),
        ("SELECT E'\\':\\'', :'t'", "SELECT E'\\':\\'', 'it''s'"),
        ("SELECT :t, :'missing', :{?t}, :{?missing}", "SELECT :t, :'missing', TRUE, FALSE"),
        ("SELECT :'path'", "SELECT  E'a\\\\b'"),
    ],
)
def test_variables_in_a_statement(statement: str, expected: str) -> None:
    assert interpolate(statement, {"t": "it's", "c": "a b", "path": "a\\b"}) == expected


def test_words_of_an_argument() -> None:
    values = {"n": 3, "t": "it's", "a": ["x", None]}
    argument = "a  'b c' :n x:t:n :'t' :\"t\" :none :a"
    assert words(argument, values) == ["a", "b c", "3", "xit's3", "'it''s'", '"it\'s"', ":none", "{x,NULL}"]
    assert words(r"'\t\x41\101''q'", {}) == ["\tAA'q"]
    assert words("", {}) == []


def test_booleans() -> None:
    assert [parse_boolean(text, "x") for text in ("on", "TRUE", "1", "y")] == [True] * 4
    assert [parse_boolean(text, "x") for text in ("off", "f", "0", "No")] == [False] * 4
    with pytest.raises(SqlSyntaxError, match="takes a boolean: 3"):
        parse_boolean("3", "x")
