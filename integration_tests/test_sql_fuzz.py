"""Mutated statements over a Milvus in memory: whatever is wrong with one, its error is one of nestvec's.

Most are only planned, which takes a millisecond or two: everything that reads the statement has seen it then.
Some run, over rows in memory or in Milvus Lite. ``NESTVEC_FUZZ`` multiplies the numbers of the nightly
sets, and ``NESTVEC_SEED`` sets where their seeds begin.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Final, cast

import pytest
from integration_tests.fixtures.fake_milvus import FakeMilvus, rows_table
from integration_tests.fixtures.mutated_statements import parameters, statement
from integration_tests.fixtures.random_rows import NAME, create_in_milvus, random_rows
from integration_tests.fixtures.reports import Report, report
from pymilvus import MilvusClient
from sqlglot import exp

from nestvec.milvus.connection import open_milvus
from nestvec.milvus.steps import drive
from nestvec.sql import Session, execute
from nestvec.sql.bind.params import bind_params
from nestvec.sql.parse.parse import parse
from nestvec.sql.statements.select import plan_statement
from nestvec_schemas.errors import NestvecError

__all__ = ["report"]

TIMES: Final = int(os.environ.get("NESTVEC_FUZZ", "1"))

FIRST_SEED: Final = int(os.environ.get("NESTVEC_SEED", "2"))

HANG_GUARD: Final = 120
"""Seconds after which a statement hangs; one takes milliseconds."""

STATEMENTS_OF_A_SESSION: Final = 20
"""Statements that share the caches of a session."""

LEAKED: Final = ("Traceback", "NoneType", "object has no attribute", "INTERNAL Error", " object at 0x")
"""What no message says."""

Runner = Callable[[Session, str, dict[str, Any]], object]


@contextmanager
def hang_guard(statement: str) -> Iterator[None]:
    """Fail if a statement does not end."""

    def fail(_: int, __: FrameType | None) -> None:
        raise AssertionError(f"a statement hangs: {statement}")

    previous = signal.signal(signal.SIGALRM, fail)
    signal.alarm(HANG_GUARD)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def plan_only(session: Session, written: str, values: dict[str, Any]) -> object:
    """Plan a query; run what is none, of which each statement plans its own parts."""
    client = cast(MilvusClient, _MILVUS)
    parsed = parse(written)
    if parsed.explain_tokens or not isinstance(parsed.tree, exp.Query):
        return execute(client, written, values, session=session)
    return drive(client, plan_statement(session, parsed, bind_params(values)))


def run(session: Session, written: str, values: dict[str, Any]) -> object:
    return execute(cast(MilvusClient, _MILVUS), written, values, session=session)


_MILVUS: Final = FakeMilvus()


def failure(runner: Runner, session: Session, written: str, values: dict[str, Any]) -> tuple[str, str]:
    """The kind of the outcome, and what is wrong with it; empty for nothing."""
    try:
        with hang_guard(written):
            runner(session, written, values)
    except NestvecError as error:
        text = str(error)
        wrong = next((f"its message has {word!r}: {text}" for word in LEAKED if word in text), "")
        return type(error).__name__, wrong if text else "an empty message"
    except Exception as error:
        return type(error).__name__, f"{type(error).__name__}: {error}"
    return "answered", ""


def fuzz(report: Report, runner: Runner, seed: int, number: int) -> None:
    """Mutated statements of a seed; every error must be nestvec's, and say what to do."""
    draw, outcomes, session = Random(seed), Counter[str](), Session()
    failures = []
    for place in range(number):
        written, values = statement(draw), parameters(draw)
        if place % STATEMENTS_OF_A_SESSION == 0:
            session = Session(tables={NAME: rows_table()})
        outcome, wrong = failure(runner, session, written, values)
        outcomes[outcome] += 1
        if wrong:
            failures.append(f"{seed}/{place}: {written!r}\n  {values}\n  {wrong}")
    report(f"{number} mutated statements: {dict(outcomes.most_common())}")
    assert not failures, "\n".join(failures[:10])
    assert outcomes["answered"] > number // 20


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """COPY reads and writes files by name."""
    monkeypatch.chdir(tmp_path)


def test_an_error_of_a_mutated_statement_is_nestvecs(report: Report) -> None:
    fuzz(report, run, 1, 300)


@pytest.mark.parametrize(
    "written",
    [
        "WITH w AS (SELECT id FROM rows WHERE p < 1e-(r::float8)) SELECT * FROM w",
        "SELECT DISTINCT ON (a) a, id::regclass FROM rows ORDER BY a, id",
        "INSERT INTO rows (id, u, g, v) VALUES (1, 'x', TRUE, ARRAY[1, NULL])",
        "UPDATE rows AS (3) SET a = q.x FROM (VALUES (1, 5)) AS q(k, x) WHERE c.id = q.k",
        "DELETE FROM rows AS (1e400) USING (SELECT 9 AS n) AS q WHERE q.n > 8",
        "INSERT INTO rows (id, a, u, g, v) (SELECT id + 100, (rows.*), u, g, v FROM rows)",
        "WITH w AS (SELECT * FROM rows) INSERT INTO rows (id, u, g, v) "
        "SELECT 1000 + id, '{1:1}/2'::sparsevec, g, v FROM w",
        "UPDATE rows SET (a, s) = (3, (*)), u = u || cos(a) WHERE NOT (s < 2)",
        "UPDATE rows SET a = (rows.*), u = upper(u)",
        "INSERT INTO rows SELECT * FROM rows WHERE () IN ((3, 1), (1, 'a'))",
        "SELECT id FROM rows WHERE () IN (SELECT 1)",
        "SELECT id FROM rows WHERE () = ()",
        "WITH RECURSIVE c(n) AS (SELECTé1 UNION ALL SELECT n + 1 FROM c WHERE n < 9) SELECT n FROM c",
        "UPDATE rows SET a = s + (*), u = upper(u)",
        "SELECT DISTINCT ON (a) (a) a, id FROM rows ORDER BY a, id DESC",
        "SELECT DISTINCT ON (a) s AS a, a AS s FROM rows ORDER BY a",
        "INSERT INTO rows (id, u, g, v) VALUES (1, 'a', TRUE, '[1,2]') "
        "ON CONFLICT (id) DO UPDATE SET a = (*)",
    ],
)
def test_the_error_of_a_statement_that_raised_another_is_nestvecs(written: str) -> None:
    assert failure(run, Session(tables={NAME: rows_table()}), written, {})[1] == ""


@pytest.mark.parametrize("text", ["\ud800", "a\0"])
@pytest.mark.parametrize(
    "written",
    [
        "SELECT upper(:t)",
        "SELECT id FROM rows WHERE lower(u) = ANY(ARRAY['a', :t])",
        "UPDATE rows SET u = upper(:t)",
        "INSERT INTO rows (id, a, u, g, v) VALUES (1, length('abc'), :t, FALSE, '[1,2]')",
    ],
)
def test_a_text_that_no_column_holds_is_refused_wherever_it_stands(written: str, text: str) -> None:
    session = Session(tables={NAME: rows_table()})
    assert failure(run, session, written, {"t": text}) == ("SqlTypeMismatch", "")


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + 20))
def test_an_error_of_planning_a_mutated_statement_is_nestvecs(report: Report, seed: int) -> None:
    fuzz(report, plan_only, seed, 10_000 * TIMES)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(FIRST_SEED + 20, FIRST_SEED + 24))
def test_an_error_of_running_a_mutated_statement_is_nestvecs(report: Report, seed: int) -> None:
    fuzz(report, run, seed, 5_000 * TIMES)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(FIRST_SEED + 24, FIRST_SEED + 28))
def test_an_error_of_a_mutated_statement_on_milvus_lite_is_nestvecs(
    report: Report, seed: int, tmp_path: Path
) -> None:
    with open_milvus(str(tmp_path / "rows.db")) as client:

        def run_on_lite(session: Session, written: str, values: dict[str, Any]) -> object:
            if not client.has_collection(NAME):
                create_in_milvus(client, random_rows(Random(seed), 30))
            return execute(client, written, values, session=session)

        fuzz(report, run_on_lite, seed, 1_000 * TIMES)
