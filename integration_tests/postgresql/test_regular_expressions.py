"""Random patterns: what nestvec does not refuse it replaces and splits by as PostgreSQL does."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final

import psycopg
from integration_tests.fixtures.postgres import PostgresServer
from integration_tests.fixtures.reports import Report

import nestvec
from nestvec import dbapi

CHARS: Final = (*"abc1 .-", r"\d", r"\w", r"\s", r"\.", "[ab]", "[^a]", "[0-9]", "^", "$")
QUANTIFIERS: Final = ("*", "+", "?", "?", "{2}", "{1,2}", "{0,2}", "*?", "+?", "??")
PATTERNS: Final = 600


def pattern(random: Random, depth: int = 0) -> str:
    return "|".join(sequence(random, depth) for _ in range(random.choice((1, 1, 1, 2, 3))))


def sequence(random: Random, depth: int) -> str:
    parts = []
    for _ in range(random.choice((1, 1, 2, 2, 3))):
        grouped = depth < 2 and random.random() < 0.25
        part = f"({pattern(random, depth + 1)})" if grouped else random.choice(CHARS)
        repeated = part not in "^$" and random.random() < 0.4
        parts.append(part + random.choice(QUANTIFIERS) if repeated else part)
    return "".join(parts)


def call(random: Random) -> str:
    """Texts with what matches a pattern replaced by its groups, or split by it."""
    regex = pattern(random)
    texts = ["".join(random.choices("aabbc1 -.", k=random.choice((2, 4, 7)))) for _ in range(8)]
    if random.random() < 0.3:
        return ", ".join(f"regexp_split_to_array('{text}', '{regex}')" for text in texts)
    groups = "|".join(f"\\{number}" for number in range(1, min(regex.count("("), 9) + 1))
    flags = random.choice(("", "g", "i"))
    return ", ".join(f"regexp_replace('{text}', '{regex}', '<{groups}>', '{flags}')" for text in texts)


def test_random_patterns_match_as_in_postgresql(
    postgresql: PostgresServer, report: Report, tmp_path: Path
) -> None:
    compared, differences = 0, []
    with nestvec.connect(tmp_path / "patterns.db") as connection, postgresql.connect() as oracle:
        for seed in range(PATTERNS):
            statement = f"SELECT {call(Random(seed))}"
            try:
                expected = oracle.execute(statement.encode()).fetchall()
            except psycopg.errors.InvalidRegularExpression:
                continue
            try:
                answered = connection.execute(statement).fetchall()
            except dbapi.NotSupportedError:
                continue
            compared += 1
            if answered != expected:
                differences.append(f"{statement}\n  {answered}, and not {expected}")
    report(f"{PATTERNS} patterns: {compared} compared, {len(differences)} differences")
    assert not differences, "\n".join(differences[:5])
    assert compared > PATTERNS // 4
