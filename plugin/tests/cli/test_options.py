"""Every option has its group, its default and its environment variable, and every help fits 80 columns."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from nestvec.cli import COMMANDS, cli
from nestvec.cli.checkpoint_options.export import ExportArgs
from nestvec.cli.ingest import IngestArgs
from nestvec.cli.options import Option, build_args
from nestvec.cli.serve import ServeArgs
from nestvec.cli.sql import SqlArgs

SHARED = {"--uri": "NESTVEC_URI", "--token": "NESTVEC_TOKEN", "--database": "NESTVEC_DATABASE"}
SHARED |= {"--models": "NESTVEC_MODELS", "--timeout": "NESTVEC_TIMEOUT", "--ca-file": "NESTVEC_CA_FILE"}
SHARED |= {"--client-cert": "NESTVEC_CLIENT_CERT", "--client-key": "NESTVEC_CLIENT_KEY"}
SHARED |= {"--server-name": "NESTVEC_SERVER_NAME"}


def command_paths() -> Iterator[list[str]]:
    for name, entry in COMMANDS.items():
        command = importlib.import_module(f"nestvec.cli.{entry.module}").command
        yield [name]
        if isinstance(command, click.Group):
            yield from ([name, sub] for sub in command.commands)


def options(name: str) -> list[click.Option]:
    command = importlib.import_module(f"nestvec.cli.{COMMANDS[name].module}").command
    return [param for param in command.params if isinstance(param, click.Option)]


@pytest.mark.parametrize("path", [[], *command_paths()], ids=" ".join)
def test_help_fits_80_columns_and_has_an_example(path: list[str]) -> None:
    shown = CliRunner().invoke(cli, [*path, "--help"]).output
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    assert "Example" in shown


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "collection"])
def test_every_option_stands_in_a_group(name: str) -> None:
    assert [option.opts for option in options(name) if not isinstance(option, Option)] == []
    assert [option.opts for option in options(name) if option.group == Option.group] == []


@pytest.mark.parametrize("name", ["serve", "ingest", "sql", "export"])
def test_every_option_reads_an_environment_variable_of_its_name(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = " ".join(CliRunner().invoke(cli, [name, "--help"]).output.split())
    with click.Context(cli, info_name="nestvec", auto_envvar_prefix="NESTVEC") as parent:
        ctx = click.Context(cli.get_command(parent, name), parent=parent, info_name=name)  # type: ignore[arg-type]
    for option in options(name):
        flag = option.opts[0]
        if flag == "--trust-remote-code":
            # It is for one export alone.
            continue
        own = f"NESTVEC_{name.upper()}_{flag.removeprefix('--').replace('-', '_').upper()}"
        for variable in {own, SHARED.get(flag, own)}:
            monkeypatch.setenv(variable, "value")
            assert option.resolve_envvar_value(ctx) == "value", flag
            monkeypatch.delenv(variable)
        assert option.hidden or SHARED.get(flag, own) in shown


def test_a_variable_sets_an_option_and_the_command_line_overrides_it(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").touch()
    command = ["ingest", str(tmp_path / "x.jsonl"), "--collection", "c", "--uri", "none.db"]
    variables = {"NESTVEC_INGEST_BATCH": "0"}
    assert "not in the range" in CliRunner().invoke(cli, command, env=variables).output
    again = CliRunner().invoke(cli, [*command, "--batch", "5"], env=variables)
    assert "not in the range" not in again.output


@pytest.mark.parametrize("kind", [ServeArgs, IngestArgs, SqlArgs, ExportArgs])
def test_arguments_are_split_by_role(kind: type) -> None:
    assert is_dataclass(kind)
    assert len(fields(kind)) <= 10


@dataclass(frozen=True)
class Inner:
    port: int
    host: str


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner


def test_nested_arguments_are_built_from_one_mapping() -> None:
    values = {"port": 1, "name": "n", "host": "h"}
    assert build_args(Outer, values) == Outer("n", Inner(1, "h"))
