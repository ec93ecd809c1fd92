"""The choice of a function by its arguments, as the manual's section 10.3 has it."""

from __future__ import annotations

import pytest

from nestvec.sql.parse.function_types import function_results
from nestvec.sql.parse.overloads import Overload, result_of


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("avg", ["int4"], "numeric"),
        ("avg", ["float4"], "float8"),
        ("sum", ["int4"], "int8"),
        ("sum", ["int8"], "numeric"),
        ("abs", ["int2"], "int2"),
        ("sqrt", ["int4"], "float8"),
        ("sqrt", ["numeric"], "numeric"),
        ("round", ["int4"], "float8"),
        ("round", ["int4", "int4"], "numeric"),
        ("power", ["int4", "numeric"], "numeric"),
        ("power", ["float4", "numeric"], "float8"),
        ("mod", ["int2", "int8"], "int8"),
        ("mod", ["unknown", "int4"], "int4"),
        ("gcd", ["int4", "numeric"], "numeric"),
        ("substr", ["unknown", "int4"], "text"),
        ("mod", ["float8", "int4"], ""),
        ("abs", [""], ""),
        ("sum", ["vector"], ""),
    ],
)
def test_the_result_of_a_call(name: str, arguments: list[str], result: str) -> None:
    overloads = function_results()[name]
    assert not isinstance(overloads, str)
    assert result_of(overloads, arguments) == result


def test_an_unknown_argument_does_not_matter_where_all_have_one_result() -> None:
    overloads = (Overload(("text",), "int4"), Overload(("bytea",), "int4"))
    assert result_of(overloads, [""]) == "int4"
    assert result_of(overloads, ["", ""]) == ""
