from __future__ import annotations

import pytest
from click.testing import CliRunner

from nestvec.cli import cli
from nestvec.cli.sql import _cell, _fitted
from nestvec_schemas.errors import StoreUnreachable


def test_a_cell_is_one_line() -> None:
    assert _cell("one\n  two\tthree") == "one two three"
    assert _cell([0.125, -0.5, 1.0, 2.0]) == "[0.12, -0.50, 1.00, … 4]"
    assert _cell([1, "a"]) == "[1, 'a']"
    assert _cell({"a": 1}) == "{'a': 1}"
    assert [_cell(value) for value in (None, 1, 2.5, True)] == [None, 1, 2.5, True]


def test_long_texts_give_way_to_the_rest() -> None:
    cells = _fitted(["id", "name", "doc"], [[1, "x" * 20, "word " * 100], [22, "y", "z"]], 60)
    assert cells[0][:2] == [1, "x" * 20]
    assert cells[0][2].endswith("…")
    assert 8 + 20 + len(cells[0][2]) + 10 == 60
    assert cells[1] == [22, "y", "z"]
    narrow = _fitted(["a", "b"], [["x" * 50, "y" * 50]], 10)
    assert [len(cell) for cell in narrow[0]] == [12, 12]
    assert _fitted(["a"], [[None], [1.5]], 1) == [[None], [1.5]]


@pytest.mark.parametrize("arguments", [["SELECT 1"], ["--uri", "x.db"], ["a", "b", "--uri", "x.db"]])
def test_usage(arguments: list[str]) -> None:
    done = CliRunner().invoke(cli, ["sql", *arguments], env={"NESTVEC_URI": ""})
    assert done.exit_code == 2
    assert "Usage:" in done.stderr


def test_a_database_that_cannot_be_opened() -> None:
    done = CliRunner().invoke(cli, ["sql", "SELECT 1", "--uri", "/nowhere/at/all.db"])
    assert isinstance(done.exception, StoreUnreachable)
