"""Mutated statements over a Milvus in memory: whatever is wrong with one, its error is one of nestvec's."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Final, cast

import pytest
from integration_tests.fixtures.fake_milvus import FakeMilvus, rows_table
from integration_tests.fixtures.random_conditions import ConditionWriter
from integration_tests.fixtures.random_rows import NAME
from integration_tests.fixtures.reports import Report, report
from pymilvus import MilvusClient

from nestvec.sql import Session, execute
from nestvec_schemas.errors import NestvecError

__all__ = ["report"]

HANG_GUARD: Final = 120
"""Seconds after which a statement hangs; one takes milliseconds."""

STATEMENTS: Final = Path(__file__).with_name("fuzzed_statements.sql").read_text(encoding="utf-8").splitlines()
"""Statements that are mutated; {where} is a random condition."""

_NAMES: Final = (
    "id a b s p r t u f g tags nums meta v rows x y excluded count sum now lower length vector_dims"
)
_WORDS: Final = """
    SELECT FROM WHERE AND OR NOT NULL IS IN LIKE BETWEEN ANY ALL CASE WHEN THEN END AS ON JOIN LEFT ORDER BY
    GROUP LIMIT OFFSET HAVING UNION WITH VALUES DISTINCT EXISTS LATERAL CAST ARRAY ROW INTERVAL OVER TRUE int
    text date vector jsonb"""
_SIGNS: Final = """
    ( ) [ ] , ; . :: : + - * / % = <> < > <= >= || -> ->> #>> @> <@ && ? ~ ~* <-> <=> <#> <+> @@ ^ | & ! #"""
_VALUES: Final = """
    0 1 -1 2.5 1e309 9223372036854775808 'x' '' '[1,2]' '{1,2}' '{"a":1}' '2020-01-01' :q :t $1 E'\\n'
    B'101' X'ff' U&'\\00e9' 'a''b' 1e-400 99999"""
_ODD: Final = ("é", "\0", "'", '"', "/*", "--", "$$", "\U0001f600", "\\", "\ud800", "\n", "{{", "{#")

CLASSES: Final = tuple(tuple(words.split()) for words in (_NAMES, _WORDS, _SIGNS, _VALUES))
"""Tokens that may stand where another of the same class stands."""

_TOKEN = re.compile(r"'(?:[^']|'')*'|[\w.]+|\s+|<=>|<->|<#>|->>|->|::|<=|>=|<>|[^\w\s]")


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


def statement(draw: Random) -> str:
    """A statement with a few mutations; without any now and then."""
    tokens = _TOKEN.findall(_template(draw))
    for _ in range(draw.choice((0, 1, 1, 1, 1, 2, 3))):
        if draw.random() < 0.6:
            _replace(draw, tokens)
        else:
            _reorder(draw, tokens)
    return "".join(tokens)


def _template(draw: Random) -> str:
    return draw.choice(STATEMENTS).replace("{where}", condition(draw))


def _replace(draw: Random, tokens: list[str]) -> None:
    """Another token of the same class in place of a random one."""
    places = [place for place, token in enumerate(tokens) if not token.isspace()]
    if not places:
        return
    place = draw.choice(places)
    token = tokens[place]
    same = [words for words in CLASSES if token in words or token.upper() in words]
    if not same:
        same = [CLASSES[3] if token[0] in "'0123456789" else CLASSES[0]]
    tokens[place] = draw.choice(same[0])


def _reorder(draw: Random, tokens: list[str]) -> None:
    """Tokens removed, repeated, put in brackets, cut off, taken from another statement, or made odd."""
    start = draw.randrange(len(tokens) + 1)
    end = min(start + draw.randint(1, 9), len(tokens))
    kind = draw.randrange(7)
    if kind == 0:
        del tokens[start:end]
    elif kind == 1:
        tokens[start:start] = tokens[start:end]
    elif kind == 2:
        tokens[start:end] = ["(", *tokens[start:end], ")"]
    elif kind == 3:
        del tokens[max(start, 1) :]
    elif kind == 4:
        other = _TOKEN.findall(_template(draw))
        place = draw.randrange(len(other))
        tokens[start:end] = [" ", *other[place : place + draw.randint(1, 12)], " "]
    elif kind == 5:
        tokens[start:start] = [" ", draw.choice(draw.choice((*CLASSES, _ODD))), " "]
    elif start < len(tokens):
        at = draw.randrange(len(tokens[start]))
        tokens[start] = tokens[start][:at] + draw.choice(_ODD) + tokens[start][at + 1 :]


def condition(draw: Random) -> str:
    writer = ConditionWriter(draw)
    written = writer.condition(draw.randint(0, 2))
    return re.sub(r":p\d+", lambda name: repr(writer.parameters[name[0][1:]]), written)


def fuzz(report: Report, seed: int, number: int) -> None:
    """Run mutated statements; every error must be nestvec's, and say what to do."""
    draw, outcomes = Random(seed), Counter[str]()
    parameters: dict[str, Any] = {"q": [1.0, 2.0], "t": "a", "1": 3}
    for _ in range(number):
        written = statement(draw)
        session = Session(tables={NAME: rows_table()})
        try:
            with hang_guard(written):
                execute(cast(MilvusClient, FakeMilvus()), written, parameters, session=session)
            outcomes["answered"] += 1
        except NestvecError as error:
            outcomes[type(error).__name__] += 1
            assert str(error), written
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} from {written!r}") from error
    report(f"{number} mutated statements: {dict(outcomes.most_common())}")
    assert outcomes["answered"] > number // 20


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """COPY reads and writes files by name."""
    monkeypatch.chdir(tmp_path)


def test_an_error_of_a_mutated_statement_is_nestvecs(report: Report) -> None:
    fuzz(report, 1, 1_000)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(2, 22))
def test_an_error_of_many_mutated_statements_is_nestvecs(report: Report, seed: int) -> None:
    fuzz(report, seed, 10_000)
