"""Options that are read again: each is taken up, or said to need a restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from nestvec.cli import cli
from nestvec.cli.serve import command, declare
from nestvec.cli.serve_options.reload import declared_source
from nestvec.service.operation.declared_options import DeclaredOptions, changed_options
from nestvec_schemas.errors import ServiceError

CHANGES: dict[str, Any] = {
    "models": "others",
    "encoder": ["tiny"],
    "alias": {"small": "tiny"},
    "overlong": "mean",
    "host": "0.0.0.0",
    "port": 9090,
    "max-connections": 12,
    "unread-bytes": "1MB",
    "shutdown-seconds": 3,
    "api-keys": "keys.txt",
    "admin-keys": "admin.txt",
    "tls-cert": "cert.pem",
    "tls-key": "key.pem",
    "allowed-host": ["a.example.com"],
    "cors-origin": ["https://a.example.com"],
    "accept-token-ids": True,
    "ui": True,
    "engine": "openvino",
    "precision": "fp32",
    "engine-cache": "compiled",
    "threads": 3,
    "device": "cpu",
    "share-cores": True,
    "gpu-instances": 2,
    "cuda-graphs": True,
    "triton-url": "127.0.0.1:9001",
    "idle": 60,
    "memory-budget": "1GB",
    "deadline-seconds": 5,
    "max-deadline-seconds": 50,
    "milvus-deadline-seconds": 6,
    "max-requests": 7,
    "queue-tokens": 1000,
    "client-share": 0.25,
    "max-inputs": 10,
    "max-body": "1MB",
    "body-memory": "3MB",
    "cache-size": "5MB",
    "cache-seconds": 9,
    "image-scheme": ["https"],
    "image-host": ["a.example.com"],
    "image-root": ["."],
    "image-bucket": ["b"],
    "image-private": True,
    "image-memory": 100,
    "s3-endpoint": "http://127.0.0.1:9000",
    "on-error": "zero",
    "log-format": "json",
    "otlp-endpoint": "http://127.0.0.1:4318",
}
RESTART = {
    *("models", "host", "port", "api-keys", "admin-keys", "tls-cert", "tls-key", "cors-origin", "engine"),
    *("precision", "engine-cache"),
    *("threads", "device", "share-cores", "gpu-instances", "cuda-graphs"),
    *("triton-url", "ui", "log-format", "otlp-endpoint"),
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "serve.yaml"
    path.write_text("")
    return path


def source(*arguments: str) -> Callable[[], DeclaredOptions]:
    parent = click.Context(cli, info_name="nestvec", auto_envvar_prefix="NESTVEC")
    context = command.make_context("serve", list(arguments), parent=parent)
    return declared_source(context, declare)


def test_every_option_is_taken_up_or_said_to_need_a_restart(config: Path) -> None:
    options = {(param.name or "").replace("_", "-") for param in command.params}
    tried = set(CHANGES)
    assert {name for name in options - {"config", "print-config"} if name not in tried} == set()
    for name, value in CHANGES.items():
        config.write_text("")
        read = source("--config", str(config))
        before = read()
        config.write_text(yaml.safe_dump({name: value}))
        after = read()
        if name in RESTART:
            assert (after.needs_restart, changed_options(before, after)) == ((name,), [])
            assert (after.settings, after.aliases, after.encoders) == (
                *(before.settings, before.aliases, before.encoders),
            )
        else:
            assert (after.needs_restart, changed_options(before, after)) == ((), [name])
            assert (after.settings, after.aliases, after.encoders) != (
                *(before.settings, before.aliases, before.encoders),
            )


def test_the_command_line_and_the_environment_remain_above_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NESTVEC_SERVE_MAX_INPUTS", "17")
    read = source("--config", str(config), "--alias", "small=other", "--port", "0")
    config.write_text("alias: {small: minilm}\nmax-inputs: 3\nport: 1\nidle: 70\n")
    declared = read()
    assert declared.settings is not None
    assert (declared.aliases, declared.settings.load.inputs) == ({"small": "other"}, 17)
    assert (declared.settings.engine.memory.idle_seconds, declared.needs_restart) == (70, ())


def test_what_is_left_out_of_the_file_has_its_default_again(config: Path) -> None:
    config.write_text("alias: {small: minilm}\nport: 9000\nidle: 70\n")
    read = source("--config", str(config))
    assert read().aliases == {"small": "minilm"}
    config.write_text("")
    declared = read()
    assert declared.settings is not None
    assert (declared.aliases, declared.settings.engine.memory.idle_seconds) == ({}, None)
    assert declared.needs_restart == ("port",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alias: [", "is not valid YAML"),
        ("portt: 1", "unknown key: portt"),
        ("deadline-seconds: 0", "invalid value for deadline-seconds"),
        (
            "deadline-seconds: 20\nmax-deadline-seconds: 10",
            "the options cannot be read again: --max-deadline-seconds 10 is less than --deadline-seconds 20",
        ),
    ],
)
def test_what_cannot_be_read_is_one_error(config: Path, text: str, message: str) -> None:
    read = source("--config", str(config))
    config.write_text(text)
    with pytest.raises(ServiceError) as raised:
        read()
    assert message in str(raised.value)
