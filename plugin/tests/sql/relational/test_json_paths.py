"""Paths of SQL/JSON: what is refused, and what a path may cost."""

from __future__ import annotations

import json
from random import Random

import pytest

from nestvec.sql.relational.json_path.functions import (
    json_path_array,
    json_path_exists,
    json_path_match,
    json_path_query,
)
from nestvec.sql.relational.json_path.parse import parse_json_path
from nestvec.sql.relational.json_path.tokens import PathNotSupported, PathSyntaxError

PIECES = (
    "$", "@", ".", ".a", '."b"', "[*]", "[0]", "[last]", ".**", "{1}", " ? (", ")", "(", "==", "&&", "||",
    "!", " exists ", " like_regex ", '"["', " flag ", '"i"', " starts with ", " is unknown", "1", "-", "+",
    "/", "0x", "1e999999", ".size()", ".double()", "strict ", "$x", "\\", "\\u12", "/*", "*/", " to ", ",",
    "last", "true", "é", "\x00",
)  # fmt: skip


@pytest.mark.parametrize(
    "path", ["$.datetime()", "$.keyvalue().key", '$ ? (@ like_regex "(?=a)")', '$ like_regex "a" flag "x"']
)
def test_what_is_not_understood_is_refused_by_name(path: str) -> None:
    with pytest.raises(PathNotSupported, match=r"datetime|keyvalue|\(\?=a\)|flag x"):
        parse_json_path(path)


def test_a_path_that_visits_too_much_is_an_error_even_if_it_is_silent() -> None:
    document = json.dumps([[[0] * 25] * 25] * 25)
    with pytest.raises(ValueError, match="200,000 items"):
        json_path_query(document, "$.**.**.**.**", "{}", True)


def test_deep_brackets_are_refused() -> None:
    with pytest.raises(PathNotSupported, match="levels"):
        parse_json_path("(" * 5_000 + "$" + ")" * 5_000)
    with pytest.raises(PathNotSupported, match="levels"):
        parse_json_path("-" * 5_000 + "$")


def test_a_number_beyond_numeric_is_refused_before_it_takes_memory() -> None:
    with pytest.raises(ValueError, match="overflows"):
        json_path_query("1", "1e999999999", "{}", False)
    with pytest.raises(ValueError, match="overflows"):
        json_path_query("1e131071", "$ * 10", "{}", False)
    assert json_path_query("1e131071", "$ * 10", "{}", True) == []


def test_digits_of_a_document_stay_as_they_are() -> None:
    assert json_path_array('{"a": [1.50, 12345678901234567890]}', "$.a[*]", "{}", False) == (
        "[1.50,12345678901234567890]"
    )


def test_no_null_is_returned_to_duckdb() -> None:
    assert json_path_exists('{"a": 1}', "strict $.b", "{}", True) == []
    assert json_path_match('{"a": 1}', '$.a == "x"', "{}", False) == []


@pytest.mark.parametrize("seed", range(5))
def test_any_text_is_a_path_or_a_named_error(seed: int) -> None:
    draw = Random(seed)
    for _ in range(2_000):
        path = "".join(draw.choice(PIECES) for _ in range(draw.randrange(1, 12)))
        try:
            parse_json_path(path)
        except ValueError as error:
            assert isinstance(error, (PathSyntaxError, PathNotSupported)) or "overflows" in str(error)
        else:
            try:
                json_path_query('{"a": ["x", 1, {"b": null}]}', path, '{"x": 1}', True)
            except ValueError as error:
                assert type(error) is ValueError
