from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from nestvec.cli import cli
from nestvec.cli.options import build_args
from nestvec.cli.serve import ServeArgs, command, settings_of
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import ServiceError

EXAMPLE = Path(__file__).parents[4] / "examples" / "serve.yaml"


def context(*arguments: str) -> click.Context:
    parent = click.Context(cli, info_name="nestvec", auto_envvar_prefix="NESTVEC")
    return command.make_context("serve", list(arguments), parent=parent)


def settings(*arguments: str) -> ServiceSettings:
    return settings_of(build_args(ServeArgs, context(*arguments).params))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "serve.yaml"


@pytest.mark.parametrize(
    "text",
    [
        "threads: 3\noverlong: mean\ntls_cert: cert.pem\nimage-host: [a.org, b.org]\nimage-private: true\n"
        "memory-budget: 2GB\n",
        "engine: {threads: 3, memory_budget: 2GB}\nencoders: {overlong: mean}\naccess: {tls-cert: cert.pem}\n"
        "images:\n  image-host: [a.org, b.org]\n  image-private: true\n",
    ],
    ids=["flat", "groups"],
)
def test_keys_are_the_names_of_options(config: Path, text: str) -> None:
    config.write_text(text)
    chosen = settings("--config", str(config))
    assert (chosen.engine.threads, chosen.overlong) == (3, "mean")
    assert chosen.access.tls_cert == config.parent / "cert.pem", "relative to the file"
    assert (chosen.images.hosts, chosen.images.allow_private) == (("a.org", "b.org"), True)
    assert chosen.engine.memory.budget_bytes == 2_000_000_000


def test_the_environment_is_above_the_file_and_the_command_line_above_both(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text("threads: 3\noverlong: mean\nidle: 60\n")
    monkeypatch.setenv("NESTVEC_SERVE_THREADS", "4")
    monkeypatch.setenv("NESTVEC_SERVE_IDLE", "70")
    chosen = settings("--config", str(config), "--idle", "80")
    assert (chosen.engine.threads, chosen.overlong, chosen.engine.memory.idle_seconds) == (4, "mean", 80)
    monkeypatch.setenv("NESTVEC_SERVE_CONFIG", str(config))
    assert settings().overlong == "mean"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("portt: 1\n", "unknown key: portt. See nestvec serve --help. Did you mean 'port'?"),
        (
            "engine:\n  thread: 1\n",
            "unknown key: engine.thread. See nestvec serve --help. Did you mean 'threads'?",
        ),
        ("config: other.yaml\n", "unknown key: config"),
        ("help: true\n", "unknown key: help"),
        ("1: 2\n", "unknown key: 1"),
        ("port: many\n", "invalid value for port: 'many' is not a valid integer range"),
        ("port: 70000\n", "invalid value for port: 70000 is not in the range"),
        ("overlong: cut\n", "invalid value for overlong: 'cut' is not one of"),
        ("alias: [minilm]\n", "invalid value for alias: 'minilm' is not NAME=ENCODER"),
        ("memory-budget: lots\n", "'lots' is not a size. Write 4GB"),
        ("image-private: maybe\n", "has no truth value where an option takes one: image-private"),
        ("host: [a, b]\n", "has a list where an option takes one value: host"),
        ("host: {a: b}\n", "has a mapping where an option takes one value: host"),
        ("port: 1\nnetwork: {port: 2}\n", "sets an option twice: port"),
        ("port: 1\nport: 2\n", "is not valid YAML at line 2, column 1: the key 'port' is duplicated"),
        ("port: [1\n", "is not valid YAML at line 2"),
        ("- port\n", "is not a mapping: list"),
        ("port: yes\n", "has true where an option takes another value: port"),
        ("models: off\n", "has false where an option takes another value: models"),
        ("allowed-host: [a, on]\n", "has true where an option takes another value: allowed-host"),
        ("port: 8080.5\n", "has no whole number for port: 8080.5"),
        ("allowed-host: [null]\n", "has an empty or nested value: allowed-host"),
        ("allowed-host: [[a]]\n", "has an empty or nested value: allowed-host"),
        ("alias: {a: }\n", "has an empty or nested value: alias"),
        ("alias: {a: [tiny]}\n", "has an empty or nested value: alias"),
        ("alias: {a: {b: tiny}}\n", "has an empty or nested value: alias"),
        ("alias: {a: no}\n", "has false where an option takes another value: alias"),
        ("alias: {on: tiny}\n", "has true where an option takes another value: alias"),
        ("a: " + "x" * (1 << 20), "is larger than 1 MiB"),
    ],
)
def test_what_is_refused(config: Path, text: str, message: str) -> None:
    config.write_text(text)
    with pytest.raises(ServiceError) as raised:
        settings("--config", str(config))
    assert message in str(raised.value)
    assert str(config) in str(raised.value)


def test_a_file_that_is_not_there(config: Path) -> None:
    with pytest.raises(ServiceError, match=r"serve\.yaml cannot be read: No such file"):
        settings("--config", str(config))


def test_an_empty_file_and_empty_keys_change_nothing(config: Path) -> None:
    config.write_text("")
    assert settings("--config", str(config)) == ServiceSettings()
    config.write_text("threads:\n")
    assert settings("--config", str(config)) == ServiceSettings()


def print_config(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["serve", "--print-config", *arguments])


def test_what_is_printed_is_read_back(config: Path) -> None:
    arguments = ("--threads", "3", "--alias", "small=minilm", "--memory-budget", "4GiB", "--image-private")
    config.write_text(print_config(*arguments).output)
    assert settings("--config", str(config)) == settings(*arguments)
    assert context("--config", str(config)).params["alias"] == {"small": "minilm"}
    assert print_config("--config", str(config)).output.count("memory-budget: 4294967296") == 1


def test_the_example_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings("--config", str(EXAMPLE)).engine.memory.idle_seconds == 600
    assert context("--config", str(EXAMPLE)).params["alias"] == {"text-embedding-3-small": "minilm"}


@pytest.mark.parametrize(
    ("size", "count"),
    [("4GB", 4_000_000_000), ("1.5 gib", 3 << 29), ("512M", 512_000_000), ("17", 17), ("2KiB", 2048)],
)
def test_sizes(size: str, count: int) -> None:
    assert settings("--memory-budget", size).engine.memory.budget_bytes == count


@pytest.mark.parametrize("size", ["0", "-1", "4XB", "1iB", "many", ""])
def test_what_is_no_size(size: str) -> None:
    with pytest.raises(click.BadParameter):
        settings("--memory-budget", size)


def test_triton_has_its_own_memory() -> None:
    with pytest.raises(click.UsageError, match="are not for --engine triton"):
        settings("--engine", "triton", "--idle", "5")
