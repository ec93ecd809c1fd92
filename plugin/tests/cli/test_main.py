from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from nestvec.cli import COMMANDS, cli, main

NESTVEC = Path(sys.executable).with_name("nestvec")
HEAVY = {"torch", "transformers", "pymilvus", "fastapi", "onnxruntime", "pandas", "numpy", "rich", "sqlglot"}


def nestvec(*arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NESTVEC")}
    return subprocess.run([NESTVEC, *arguments], capture_output=True, text=True, check=False, env=kept)


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from nestvec.cli import cli; cli(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Commands:" in done.stdout
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    command = importlib.import_module(f"nestvec.cli.{COMMANDS[name].module}").command
    assert command.short_help == COMMANDS[name].short_help
    shown = CliRunner().invoke(cli, [name, "--help"])
    assert shown.exit_code == 0
    assert all(option.help for option in command.params if option.param_type_name == "option")


def test_a_mistyped_command_is_a_usage_error_with_the_nearest_name() -> None:
    done = nestvec("ingst")
    assert done.returncode == 2
    assert "Did you mean 'ingest'?" in done.stderr


def test_what_went_wrong_ends_with_1_and_one_message(tmp_path: Path) -> None:
    done = nestvec("serve", "--port", "0", "--models", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("nestvec: there is no encoder in the model repository")
    assert "Traceback" not in done.stderr


def test_version() -> None:
    assert nestvec("--version").stdout.startswith("nestvec, version 0.")


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_no_color_turns_colours_off(tmp_path: Path, variables: dict[str, str], coloured: bool) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("NESTVEC", "NO_COLOR"))}
    terminal = ["script", "-qec", f"{NESTVEC} serve --port 0 --models {tmp_path}", "/dev/null"]
    shown = subprocess.run(terminal, capture_output=True, text=True, env=kept | variables).stdout
    assert "there is no encoder in the model repository" in shown
    assert ("\x1b[31m" in shown) is coloured


@pytest.mark.parametrize(
    ("words", "holds"),
    [(["serve"], True), (["-v", "serve"], True), (["sql", "--collection", "serve"], False)],
)
def test_only_a_service_holds_hangups_while_it_starts(
    monkeypatch: pytest.MonkeyPatch, words: list[str], holds: bool
) -> None:
    calls: list[str] = []
    monkeypatch.setattr("nestvec.cli.hold_hangup", lambda: calls.append("hold"))
    monkeypatch.setattr("nestvec.cli.cli", lambda **_: 0)
    monkeypatch.setattr("sys.argv", ["nestvec", *words])
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")
    with pytest.raises(SystemExit):
        main()
    assert calls == ["hold"] * holds
