from __future__ import annotations

import pytest
from click.testing import CliRunner

from nestvec.cli import cli
from nestvec_schemas.errors import StoreUnreachable


@pytest.mark.parametrize(
    "arguments",
    [
        ["SELECT 1"],
        ["--uri", "x.db"],
        ["a", "b", "--uri", "x.db"],
        ["--uri", "x.db", " ; -- nothing"],
        ["--uri", "x.db", "--json", "--csv", "SELECT 1"],
        ["--uri", "x.db", "--param", "2=3", "SELECT 1"],
        ["--uri", "x.db", "--file", __file__, "SELECT 1"],
    ],
)
def test_usage(arguments: list[str]) -> None:
    done = CliRunner().invoke(cli, ["sql", *arguments], env={"NESTVEC_URI": ""})
    assert done.exit_code == 2
    assert "Usage:" in done.stderr


def test_a_database_that_cannot_be_opened() -> None:
    done = CliRunner().invoke(cli, ["sql", "SELECT 1", "--uri", "/nowhere/at/all.db"])
    assert isinstance(done.exception, StoreUnreachable)
