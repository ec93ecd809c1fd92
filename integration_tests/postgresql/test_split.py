"""Random conditions, split for Milvus: what is pushed and what remains, together, are PostgreSQL's answer.

The pushed filter is run by the real Milvus Lite, the original and the remainder by the real PostgreSQL, over
the same rows. A row that the filter loses, or that both let through and the original does not, is a
difference.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final, cast

import psycopg
import pytest
from integration_tests.fixtures.postgres import PostgresServer
from integration_tests.fixtures.random_conditions import ConditionWriter
from integration_tests.fixtures.random_rows import (
    NAME,
    create_in_milvus,
    create_in_postgresql,
    random_rows,
)
from integration_tests.fixtures.reports import Report
from pymilvus import MilvusClient
from sqlglot import exp

from nestvec.milvus.catalog import Table, read_table
from nestvec.milvus.connection import open_milvus
from nestvec.sql.bind.conditions import split_condition
from nestvec.sql.bind.params import bind_params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.dialect import NestvecSql
from nestvec.sql.parse.parse import parse
from nestvec.sql.plan.filter import render_filter
from nestvec_schemas.errors import SqlError

ROWS = 150

FIRST_SEED: Final = int(os.environ.get("NESTVEC_SEED", "1000"))
"""Where the seeds of a nightly run begin: another number, other conditions."""


@dataclass(frozen=True)
class Twins:
    """The same rows in Milvus Lite and in PostgreSQL."""

    milvus: MilvusClient
    postgresql: psycopg.Connection
    table: Table


@pytest.fixture(scope="module")
def twins(postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    rows = random_rows(Random(11), ROWS)
    path = tmp_path_factory.mktemp("split") / "rows.db"
    with open_milvus(str(path)) as client, postgresql.connect() as connection:
        create_in_milvus(client, rows)
        create_in_postgresql(connection, rows)
        yield Twins(client, connection, read_table(client, NAME))
        connection.execute(f"DROP TABLE {NAME}")


def ids_in_postgresql(twins: Twins, where: str, parameters: dict[str, Any]) -> set[int]:
    """The ids of the rows that pass, in PostgreSQL."""
    text = f"SELECT id FROM {NAME} WHERE {where}"
    if parameters:
        text = re.sub(r"(?<!:):(p\d+)", r"%(\1)s", text.replace("%", "%%"))
    rows = twins.postgresql.execute(cast(Any, text), parameters or None).fetchall()
    return {row[0] for row in rows}


def split(twins: Twins, where: str, parameters: dict[str, Any]) -> tuple[str, str]:
    """The filter for Milvus, and the remainder as SQL; empty for none."""
    parsed = parse(f"SELECT id FROM {NAME} WHERE {where}")
    scope = Scope(parsed.source, twins.table, NAME, bind_params(parameters))
    pushed, rest = split_condition(scope, parsed.tree.args["where"].this)
    return render_filter(pushed), "" if rest is None else as_written(rest)


def as_written(rest: exp.Expr) -> str:
    """A tree as SQL, its parameters as ``:name``."""
    text = NestvecSql().generate(rest)
    return re.sub(r"%\((p\d+)\)s", r":\1", text)


def difference(twins: Twins, where: str, parameters: dict[str, Any], outcomes: Counter[str]) -> str:
    """What is wrong with the split of a condition; empty for nothing."""
    try:
        expected = ids_in_postgresql(twins, where, parameters)
    except psycopg.Error as error:
        outcomes["PostgreSQL refuses"] += 1
        try:
            split(twins, where, parameters)
        except SqlError:
            outcomes["refused by both"] += 1
        return "" if error.sqlstate else str(error)
    try:
        pushed, rest = split(twins, where, parameters)
    except SqlError as error:
        return f"refused: {error}"
    rows = twins.milvus.query(NAME, filter=pushed, output_fields=["id"], limit=10 * ROWS)
    filtered = {row["id"] for row in rows}
    remaining = filtered
    if rest and filtered:
        # As any engine that filters first: a row that the filter drops is never cast.
        within = f"CASE WHEN id IN ({', '.join(map(str, sorted(filtered)))}) THEN {rest} END"
        try:
            remaining = ids_in_postgresql(twins, within, parameters)
        except psycopg.Error:
            outcomes["the rest alone raises"] += 1
            return ""
    outcomes["exact" if not rest else "split" if pushed else "all of it remains"] += 1
    outcomes["rows expected"] += len(expected)
    outcomes["rows filtered"] += len(filtered)
    lost, extra = expected - remaining, remaining - expected
    if lost or extra:
        return f"lost {sorted(lost)[:5]}, too many {sorted(extra)[:5]}\n  filter {pushed}\n  rest {rest}"
    return ""


def check(twins: Twins, report: Report, seed: int, number: int) -> None:
    """Compare ``number`` random conditions, and report how they fared."""
    draw, outcomes, failures = Random(seed), Counter[str](), list[str]()
    for _ in range(number):
        writer = ConditionWriter(draw)
        where = writer.condition(draw.randint(0, 3))
        found = difference(twins, where, writer.parameters, outcomes)
        if found:
            failures.append(f"{where}\n  {writer.parameters}\n  {found}")
    report(f"{number} conditions: {dict(outcomes)}, {len(failures)} differences")
    assert not failures, f"{len(failures)} of {number} differ:\n" + "\n\n".join(failures[:10])
    assert outcomes["exact"] > number // 10
    assert outcomes["split"] > number // 20
    assert outcomes["the rest alone raises"] < number // 20


@pytest.mark.parametrize("seed", range(5))
def test_pushed_and_remaining_conditions_are_the_whole(twins: Twins, report: Report, seed: int) -> None:
    check(twins, report, seed, 100)


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(10))
def test_many_pushed_and_remaining_conditions_are_the_whole(twins: Twins, report: Report, part: int) -> None:
    check(twins, report, FIRST_SEED + part, 2_000)
