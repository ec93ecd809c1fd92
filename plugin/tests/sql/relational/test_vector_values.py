"""Vectors without a table: what pgvector's own regression tests expect of them.

``pgvector_answers.txt`` has statements of its files ``vector_type``, ``halfvec``, ``sparsevec``, ``bit`` and
``cast``, each with the rows or the error that follow it there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from nestvec.sql import StatementResult
from nestvec.sqltypes.vector_texts import real_text
from nestvec_schemas.errors import SqlError

Answer = Callable[..., StatementResult]

_ENTRIES: Final = [
    entry.splitlines()
    for entry in Path(__file__).with_name("pgvector_answers.txt").read_text("utf-8").split("\n\n")
]


def _text(value: Any) -> str:
    """A value as psql shows it."""
    if value is None:
        return "(null)"
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, list):
        return f"[{','.join(map(real_text, value))}]"
    if isinstance(value, float):
        if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return repr(value).removesuffix(".0")
    return str(value)


def _outcome(answer: Answer, statement: str) -> list[str]:
    try:
        rows: Sequence[Sequence[Any]] = answer(statement).rows
    except SqlError as error:
        return [f"ERROR: {error.cause}"]
    return [" | ".join(map(_text, row)) for row in rows]


@pytest.mark.parametrize("entry", _ENTRIES, ids=[entry[0] for entry in _ENTRIES])
def test_a_vector_has_pgvectors_value(answer: Answer, entry: list[str]) -> None:
    statement, *expected = entry
    assert _outcome(answer, statement) == expected


@pytest.mark.parametrize(
    ("statement", "cause"),
    [
        ("SELECT min(v) FROM t", "function min(vector) does not exist"),
        ("SELECT -v FROM t", "operator does not exist: - vector"),
        ("SELECT v / v FROM t", "operator does not exist: vector / vector"),
        ("SELECT upper(v) FROM t", "function upper(vector) does not exist"),
        ("SELECT avg(v::sparsevec) FROM t", "function avg(sparsevec) does not exist"),
        ("SELECT v::sparsevec + v FROM t", "operator does not exist: sparsevec + sparsevec"),
        ("SELECT v * 2 FROM t", "a vector is expected, not int"),
        ("SELECT v AND true FROM t", "a boolean is expected, not vector"),
        ("SELECT v::int FROM t", "cannot cast type vector to int"),
        ("SELECT v + '[1,2,3]' FROM t", "different vector dimensions 2 and 3"),
        ("SELECT v <-> '[1,2,3]'::vector FROM t", "column v has 2 dims"),
        ("SELECT coalesce(v, 'word') FROM t", 'invalid input syntax for type vector: "word"'),
    ],
)
def test_what_pgvector_does_not_have_is_an_error_with_its_place(
    answer: Answer, statement: str, cause: str
) -> None:
    with pytest.raises(SqlError) as caught:
        answer(statement)
    assert caught.value.cause == cause
    assert caught.value.position is not None
    assert not str(caught.value).startswith((f"{cause}: .", f"{cause}: None."))
