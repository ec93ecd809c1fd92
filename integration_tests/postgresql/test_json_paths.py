"""Random paths of SQL/JSON over random documents by nestvec and by PostgreSQL: 0 differences."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import psycopg
import pytest
from integration_tests.fixtures.postgres import PostgresServer
from integration_tests.fixtures.random_paths import PathWriter
from integration_tests.fixtures.reports import Report

from nestvec.sql.relational.documents.order import json_print
from nestvec.sql.relational.json_path.functions import json_path_array, json_path_exists, json_path_match
from nestvec.sql.relational.json_path.parse import parse_json_path

FUNCTIONS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("jsonb_path_query_array", lambda *values: json_print(json_path_array(*values))),
    ("jsonb_path_exists", lambda *values: (json_path_exists(*values) or [None])[0]),
    ("jsonb_path_match", lambda *values: (json_path_match(*values) or [None])[0]),
)

TEXTS = (
    "", "$.", "$a b", "$.a.", "$[", "$[]", "$.a[1,]", "$ ? @ == 1", "$ ? (@)", "$ ? (@.a", "@", "last",
    "$[last].b > ", "1.type()", "01", "1a", "$.a ? (@ > 1 > 2)", "!$.a", "$.size", "$.size(1)", "$.foo()",
    '$ like_regex "("', '$ like_regex "a" flag "z"', "$.a == 1 == 2", "$ || 1", "exists $.a",
    "$.a is unknown", "$.**{a}", '"\\u00"', "$.last", "lax $.strict", "STRICT $", "$.a.*.b[*]", "- -1",
    "0x1F + 1_000 + 0b1", "1.e3", "1.e", "($.a + 1).b", "($.a > 1).type()", "$[$[0] ? (last > 0)]",
    '$.fo\\x6f ? (@ == "\\ud83d\\ude00")', '"\\ud83d"', "$ /* a comment */ .a", "True", "$.TRUE", "$.a[1 to]",
)  # fmt: skip
"""Paths, and what is none."""


@pytest.fixture(scope="module")
def oracle(postgresql: PostgresServer) -> Iterator[psycopg.Connection]:
    with postgresql.connect() as connection:
        yield connection


def check(oracle: psycopg.Connection, report: Report, seeds: range) -> None:
    differences, answers = [], 0
    for seed in seeds:
        draw = PathWriter(Random(seed))
        document, path, variables = draw.document(), draw.path(), json.dumps(draw.variables())
        for name, function in FUNCTIONS:
            for silent in (False, True):
                expected = answer_of_postgresql(oracle, name, (document, path, variables, silent))
                try:
                    answer = function(document, path, variables, silent)
                except ValueError:
                    answer = ValueError
                answers += expected not in (ValueError, None, "[]")
                if answer != expected:
                    differences.append(f"{seed}: {name} {document} {path} {variables} {silent}: {answer}")
    report(f"{6 * len(seeds)} calls of paths as PostgreSQL answers them, {len(differences)} differences")
    assert not differences, "\n".join(differences[:10])
    assert answers > len(seeds)


def answer_of_postgresql(oracle: psycopg.Connection, name: str, values: tuple[str, str, str, bool]) -> object:
    result = f"{name}(%s::jsonb, %s::jsonpath, %s::jsonb, %s)"
    result = f"{result}::text" if name == "jsonb_path_query_array" else result
    try:
        row = oracle.execute(f"SELECT {result}".encode(), values).fetchone()
    except psycopg.Error:
        return ValueError
    assert row is not None
    return row[0]


def test_random_paths_have_the_items_of_postgresql(oracle: psycopg.Connection, report: Report) -> None:
    check(oracle, report, range(400))


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(5))
def test_many_random_paths_have_the_items_of_postgresql(
    oracle: psycopg.Connection, report: Report, part: int
) -> None:
    check(oracle, report, range(10_000 + 2_000 * part, 12_000 + 2_000 * part))


@pytest.mark.parametrize("path", TEXTS)
def test_what_postgresql_reads_as_a_path_is_read(oracle: psycopg.Connection, path: str) -> None:
    try:
        oracle.execute("SELECT %s::jsonpath", (path,))
        is_path = True
    except psycopg.Error:
        is_path = False
    try:
        parse_json_path(path)
    except ValueError:
        assert not is_path
    else:
        assert is_path
