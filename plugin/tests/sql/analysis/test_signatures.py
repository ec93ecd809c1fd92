"""Which operator of pgvector is called for operands of certain types."""

from __future__ import annotations

import pytest

from nestvec.sql.analysis.signatures import UNKNOWN, resolve, takes


@pytest.mark.parametrize(
    ("operator", "operands", "result"),
    [
        ("||", ("vector", UNKNOWN), "vector"),
        ("||", (UNKNOWN, "halfvec"), "halfvec"),
        ("||", ("vector", "text"), "text"),
        ("+", ("vector", UNKNOWN), "vector"),
        ("*", ("halfvec", "halfvec"), "halfvec"),
        (">=", ("vector", UNKNOWN), "bool"),
        ("<", ("sparsevec", "sparsevec"), "bool"),
        ("<->", ("vector", UNKNOWN), "float8"),
        ("+", ("int4", "int8"), "int8"),
    ],
)
def test_the_operator_of_two_operands(operator: str, operands: tuple[str, str], result: str) -> None:
    chosen = resolve("operators", operator, operands)
    assert chosen is not None
    assert chosen.result == result


def test_what_no_operator_takes() -> None:
    assert not takes("operators", "*", ("vector", "int4"))
    assert not takes("operators", "&&", ("_int8", "_int4"))
