"""Operators in a row without brackets: nestvec reads the tree that PostgreSQL reads, or refuses it, too."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import psycopg
import pytest
from integration_tests.fixtures.answers import differing
from integration_tests.fixtures.postgres import PostgresServer
from integration_tests.fixtures.random_rows import create_in_milvus, create_in_postgresql, random_rows
from integration_tests.fixtures.reports import Report

import nestvec
from nestvec import dbapi
from nestvec.milvus.connection import open_milvus

FIRST_SEED: Final = int(os.environ.get("NESTVEC_SEED", "1000"))
"""Where the seeds of a nightly run begin: another number, other statements."""

CHAINS: Final = (
    "f = (a, s) < (1, 2)",
    "a < b < s",
    "f = g = f",
    "f <> g = f",
    "f IS NULL = g",
    "f = g IS NULL",
    "NOT f = g",
    "NOT f IS NULL",
    "NOT NOT f = g IS NOT TRUE",
    "f = NOT g",
    "f = NOT g = f",
    "f < g LIKE 'a'",
    "g = t LIKE 'a%'",
    "t LIKE 'a%' = g",
    "t LIKE 'a%' LIKE 'b'",
    "t LIKE u || '%' = g",
    "t NOT LIKE 'a%' = g",
    "t LIKE 'a!%' ESCAPE '!' = g",
    "t ILIKE 'A%' IS TRUE",
    "a BETWEEN 1 AND 2 = true",
    "f BETWEEN g AND f BETWEEN g AND f",
    "f BETWEEN f = g AND true",
    "f BETWEEN g AND f = g",
    "a BETWEEN 1 AND 2 AND g",
    "a NOT BETWEEN 1 AND 2 OR g",
    "a IN (1, 2) = true",
    "a NOT IN (1, 2) = true",
    "f IN (g) IN (true)",
    "t LIKE u IN (true)",
    "f = a IN (1, 2)",
    "-2 ^ 2",
    "2 ^ 3 ^ 2",
    "- a ^ 2",
    "2 ^ - 2",
    "-1::smallint",
    "- '2'::int + 1",
    "7 / 2 * 2 % 3",
    "7 - 2 - 1",
    "1 + 2 * 3 ^ 2",
    "~ 1 + 2",
    "~ 1 & 3",
    "- ~ 1 + 2",
    "2 * ~ 1 + 2",
    "@ -5 + 3",
    "|/ 9 + 16",
    "||/ 20 + 7",
    "5 & 3 | 8 # 1",
    "5 | 2 & 1",
    "1 << 2 + 1",
    "1 << 2 << 1 >> 1",
    "1 + 2 << 3 = 24",
    "t || u = 'ab'",
    "t ~ 'a' || 'b'",
    "t !~ 'a' || 'b'",
    "t || 'a' ~ 'a$'",
    "t ~~ 'a%' || 'b'",
    "t !~~ 'a%' || 'b'",
    "t ~ 'a' = g",
    "t ~ 'a' IS NULL",
    "- a ~ 'a'",
    "'a' || 1 + 2",
    "f AND g OR f",
    "f OR g AND f",
    "NOT f AND g OR f",
    "a IS NOT NULL IS NULL",
    "f IS DISTINCT FROM g IS NULL",
    "f IS DISTINCT FROM g = f",
    "f IS NOT DISTINCT FROM g AND f",
    "f = g IS DISTINCT FROM f",
    "f IS TRUE = g IS FALSE",
    "f IS TRUE::text",
    "f ISNULL = g",
    "f NOTNULL AND g",
    "f NOT NULL",
    "a = ANY(nums) = g",
    "g = f = ANY(ARRAY[true])",
    "g <> a = ALL(nums)",
    "a = ANY(nums) IS NULL",
    "a = ANY(nums) || 'x'",
    "meta -> 'deep' -> 'x' = '1'",
    "meta ->> 's' || 'x'",
    "meta ? 's' = g",
    "meta @> '{}' = g",
    "meta @> '{}' || 'x'",
    "meta || '{}' -> 's'",
    "meta -> 'list' ? 'a' IS TRUE",
    "tags && ARRAY['a'] = g",
    "v <-> '[1,2]' < 3 = g",
    "v <-> '[1,2]' + 1",
    "2 * v <-> '[1,2]'",
    "v <-> '[1,2]' < 3 IS TRUE",
    "date '2024-01-01' + 1 = '2024-01-02'",
    "1 = 1 AT TIME ZONE 'UTC'",
    "timestamp '2024-01-01' AT TIME ZONE 'UTC' AT TIME ZONE 'UTC' = '2024-01-01'",
    "timestamp '2024-01-01' + interval '1 day' AT TIME ZONE 'UTC'",
    't COLLATE "C" < u',
    "t || u COLLATE \"C\" = 'ab'",
    "a < - 1",
    "! f",
    "t NOT ~ 'a'",
    "CASE WHEN f THEN 1 END = 1 IS NULL",
    "(a, s) = (1, 2) IS NULL",
    "(a, s) IN ((1, 2)) = g",
    "(a, s) IS NULL = g",
)


OPERANDS: Final = {
    "number": ("a", "s", "1", "2", "3", "'2'::int", "2::smallint", "- a", "~ s", "@ a", "- ~ 1", "+ 2"),
    "text": ("t", "u", "'a'::text", "'ab'::text", "'%b%'::text", "2::text"),
    "truth": ("f", "g", "true", "false", "NULL::boolean", "a > 0", "NOT f", "NOT NOT g", "NOT a < s"),
}
NEXT: Final = {
    "number": (
        *(f"{operator} {{number}}" for operator in ["+", "-", "*", "/", "%", "^", "&", "|", "#", "<<", ">>"]),
        *(f"{operator} {{number}}" for operator in ["=", "<>", "<", ">", "<=", ">="]),
        "BETWEEN {number} AND {number}",
        "NOT BETWEEN {number} AND {number}",
        "IN ({number}, 2)",
        "NOT IN ({number}, 2)",
        "= ANY (nums)",
        "<> ALL (nums)",
        "IS NULL",
        "IS DISTINCT FROM {number}",
    ),
    "text": (
        *(
            f"{operator} {{text}}"
            for operator in ["||", "||", "||", "=", "<>", "<", "~", "!~", "~*", "~~", "!~~", "^@"]
        ),
        *(f"{operator} {{text}}" for operator in ("LIKE", "NOT LIKE", "ILIKE", "SIMILAR TO")),
        "LIKE {text} ESCAPE '!'",
        'COLLATE "C"',
        "IN ({text}, {text})",
        "IS NOT NULL",
        "IS DISTINCT FROM {text}",
    ),
    "truth": (
        *(f"{operator} {{truth}}" for operator in ["=", "<>", "<", ">", "<=", ">=", "AND", "OR"]),
        *("IS " + test for test in ("NULL", "NOT NULL", "TRUE", "NOT TRUE", "FALSE", "UNKNOWN")),
        *("ISNULL", "NOTNULL"),
        "IS DISTINCT FROM {truth}",
        "IS NOT DISTINCT FROM {truth}",
        "IN ({truth}, {truth})",
        "NOT IN ({truth}, {truth})",
        "BETWEEN {truth} AND {truth}",
        "BETWEEN g = {truth} AND {truth}",
        "= ANY (ARRAY[{truth}, true])",
        "|| {text}",
    ),
}
"""What may follow an operand of a type, so that PostgreSQL mostly has such an operator."""


@dataclass(frozen=True)
class ChainWriter:
    """Writes operands and operators one after the other, without brackets."""

    draw: Random

    def chain(self) -> str:
        """Several operators, mostly with operands of types that they take."""
        kind = self.draw.choice(list(OPERANDS))
        words = [self.draw.choice(OPERANDS[kind])]
        for _ in range(self.draw.randint(1, 5)):
            step = self.draw.choice(NEXT[kind])
            for each in OPERANDS:
                while f"{{{each}}}" in step:
                    step = step.replace(f"{{{each}}}", self.draw.choice(OPERANDS[each]), 1)
                    kind = each
            words.append(step)
            is_test = step.startswith(("IS", "IN", "NOT", "LIKE", "BETWEEN")) or step.endswith(")")
            kind = "truth" if is_test or self.draw.random() < 0.2 else kind
        return " ".join(words)


@dataclass(frozen=True)
class Twins:
    """The same rows by nestvec and by PostgreSQL."""

    nestvec: dbapi.Connection
    postgresql: psycopg.Connection

    def outcome(self, expression: str) -> tuple[str, str]:
        """How the answers compare, in a word, and how they differ; empty for not at all."""
        statement = f"SELECT id, {expression} AS x FROM rows"
        expected: Any = answer(self.postgresql, statement)
        answered: Any = answer(self.nestvec, statement)
        if isinstance(expected, psycopg.Error):
            # A constant of another type may be read or not, by the order in which operands are computed.
            is_lazy = isinstance(expected, psycopg.errors.DataError)
            is_refused = is_lazy or isinstance(answered, dbapi.Error)
            return "refused", "" if is_refused else f"PostgreSQL refuses it: {expected}\n  {answered[:2]}"
        if isinstance(answered, dbapi.NotSupportedError):
            return "not supported", ""
        if isinstance(answered, dbapi.Error):
            return "refused by nestvec", f"nestvec refuses it: {answered}"
        missing, extra = differing(expected, answered)
        return "same", f"missing {missing[:2]}, extra {extra[:2]}" if missing or extra else ""


def answer(connection: Any, statement: str) -> Any:
    """The rows of a statement, or its error."""
    try:
        return connection.execute(statement).fetchall()
    except (psycopg.Error, dbapi.Error) as error:
        return error


@pytest.fixture(scope="module")
def twins(postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    path, rows = str(tmp_path_factory.mktemp("precedence") / "rows.db"), random_rows(Random(41), 12)
    for row in rows:
        row["s"] = row["s"] and row["s"] % 100
    with open_milvus(path) as client:
        create_in_milvus(client, rows)
    with nestvec.connect(path) as connection, postgresql.connect() as oracle:
        oracle.execute("SET TimeZone = 'UTC'")
        create_in_postgresql(oracle, rows)
        yield Twins(connection, oracle)
        oracle.execute("DROP TABLE rows")


def check(twins: Twins, report: Report, seeds: range) -> None:
    """One chain of each seed."""
    outcomes, differences = Counter[str](), []
    for seed in seeds:
        chain = ChainWriter(Random(seed)).chain()
        outcome, difference = twins.outcome(chain)
        outcomes[outcome] += 1
        if difference:
            differences.append(f"{seed}: {chain}\n  {difference}")
    report(f"{len(seeds)} chains of operators: {dict(outcomes)}, {len(differences)} differences")
    assert not differences, "\n".join(differences[:10])
    assert outcomes["same"] > len(seeds) // 3


@pytest.mark.parametrize("chain", CHAINS)
def test_a_chain_is_the_tree_that_postgresql_reads(twins: Twins, chain: str) -> None:
    assert twins.outcome(chain)[1] == ""


def test_an_operator_that_does_not_chain_is_named(twins: Twins) -> None:
    with pytest.raises(dbapi.ProgrammingError, match="syntax error at '<', which follows an operator that"):
        twins.nestvec.execute("SELECT id FROM rows WHERE f = (a, s) < (1, 2)")


def test_random_chains_are_the_trees_that_postgresql_reads(twins: Twins, report: Report) -> None:
    check(twins, report, range(250))


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(10))
def test_many_random_chains_are_the_trees_that_postgresql_reads(
    twins: Twins, report: Report, part: int
) -> None:
    first = FIRST_SEED + 1_000 * part
    check(twins, report, range(first, first + 1_000))
