from __future__ import annotations

import pytest

from nestvec.sql.parse.schema_names import without_schema
from nestvec.sql.parse.tokens import tokenize


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT id FROM public.t", "SELECT id FROM t"),
        ('SELECT "public".t.id FROM PUBLIC."t", U u', "SELECT t . id FROM t , U u"),
        ("DROP TABLE public.a, public.b", "DROP TABLE a , b"),
        ("SELECT v::public.vector, 'public.x' FROM public.t", "SELECT v :: vector , public.x FROM t"),
        ("WITH u AS (SELECT 1) SELECT id FROM public.t", "WITH u AS ( SELECT 1 ) SELECT id FROM t"),
    ],
)
def test_the_schema_of_all_collections_is_left_out(statement: str, expected: str) -> None:
    assert " ".join(token.text for token in without_schema(tokenize(statement))) == expected


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT public.id FROM t AS public",
        "SELECT public FROM public.t",
        "SELECT id FROM server.public.t",
        'SELECT id FROM "PUBLIC".t',
        "SELECT id FROM other.t",
        "WITH t AS (SELECT 1) SELECT id FROM public.t",
        "SELECT public.b.id FROM books b",
        "SELECT public.b.id FROM books AS b",
        "WITH RECURSIVE u AS NOT MATERIALIZED (SELECT 1), T (a, b) AS (SELECT 1, 2) SELECT id FROM public.t",
    ],
)
def test_other_names_stay(statement: str) -> None:
    tokens = tokenize(statement)
    assert without_schema(tokens) == tuple(tokens)
