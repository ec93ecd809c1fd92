from __future__ import annotations

import pytest
from click.testing import CliRunner

from nestvec.cli import cli
from nestvec.cli.sql import _cell
from nestvec_schemas.errors import StoreUnreachable


def test_a_vector_is_summarised() -> None:
    assert _cell([0.125, -0.5, 1.0, 2.0]) == "[0.12, -0.50, 1.00, … 4]"
    assert [_cell(value) for value in (None, 1, "a", [1, "a"])] == [None, 1, "a", [1, "a"]]


@pytest.mark.parametrize("arguments", [["SELECT 1"], ["--uri", "x.db"], ["a", "b", "--uri", "x.db"]])
def test_usage(arguments: list[str]) -> None:
    done = CliRunner().invoke(cli, ["sql", *arguments], env={"NESTVEC_URI": ""})
    assert done.exit_code == 2
    assert "Usage:" in done.stderr


def test_a_database_that_cannot_be_opened() -> None:
    done = CliRunner().invoke(cli, ["sql", "SELECT 1", "--uri", "/nowhere/at/all.db"])
    assert isinstance(done.exception, StoreUnreachable)
