"""Properties of expressions that hold for any operands."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymilvus import MilvusClient

from nestvec.milvus.steps import drive
from nestvec.sql import Session, StatementResult
from nestvec.sql.execute.evaluate.texts import like
from nestvec.sql.statements import execute_steps
from nestvec_schemas.errors import SqlError


def asked(statement: str, given: Any = None) -> StatementResult:
    """The result of a SELECT without FROM, which needs no Milvus."""
    return drive(cast(MilvusClient, None), execute_steps(Session(), statement, given))


def test_long_expressions_run_and_deep_ones_are_refused() -> None:
    assert asked("SELECT " + " || ".join(["'a'"] * 2000)).rows[0][0] == "a" * 2000
    assert asked("SELECT " + " AND ".join(["TRUE"] * 2000)).rows == ((True,),)
    assert asked("SELECT " + " + ".join(["1"] * 100)).rows == ((100,),)
    with pytest.raises(SqlError, match="nested more than 100 levels deep"):
        asked("SELECT " + " + ".join(["1"] * 200))


@settings(max_examples=200, deadline=None)
@given(st.text("ab%_\\", max_size=8), st.text("ab%\\", max_size=8))
def test_like(pattern: str, text: str) -> None:
    """Against the plain definition, by recursion."""

    def plainly(at: int, token: int) -> bool:
        if token == len(pattern):
            return at == len(text)
        if pattern[token] == "%":
            return any(plainly(one, token + 1) for one in range(at, len(text) + 1))
        if at == len(text):
            return False
        if pattern[token] == "\\":
            return pattern[token + 1] == text[at] and plainly(at + 1, token + 2)
        return pattern[token] in ("_", text[at]) and plainly(at + 1, token + 1)

    if len(pattern) - len(pattern.rstrip("\\")) & 1:
        return
    assert like(text, pattern) == plainly(0, 0)


def test_no_pattern_is_slow() -> None:
    started = time.perf_counter()
    assert not like("a" * 2000, "%a" * 20 + "b")
    assert time.perf_counter() - started < 60  # trying every split would take years


@settings(max_examples=200, deadline=None)
@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31).filter(bool))
def test_integer_division_truncates_towards_zero(left: int, right: int) -> None:
    if (left, right) == (-(2**63), -1):
        return
    quotient, rest = asked("SELECT $1 / $2, $1 % $2", [left, right]).rows[0]
    assert quotient * right + rest == left
    assert abs(rest) < abs(right)
    assert rest == 0 or (rest < 0) == (left < 0)


@settings(max_examples=300, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_as_text_is_the_same_number(number: float) -> None:
    text = asked("SELECT $1::text", [number]).rows[0][0]
    assert float(text) == number
    assert len(text) <= 24
    assert asked("SELECT $1::text::float", [number]).rows[0][0] == number
