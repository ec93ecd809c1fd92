from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from nestvec.cli.options import build_args
from nestvec.cli.serve import ServeArgs, command, settings_of
from nestvec.service.settings import ServiceSettings


def parse_args(*arguments: str) -> ServeArgs:
    return build_args(ServeArgs, command.make_context("serve", list(arguments)).params)


def test_the_defaults_are_the_services_own() -> None:
    assert settings_of(parse_args()) == ServiceSettings()


def test_each_option_reaches_its_setting(tmp_path: Path) -> None:
    for name in ("keys", "cert", "key"):
        (tmp_path / name).touch()
    settings = settings_of(
        parse_args(
            *("--engine", "triton", "--triton-url", "gpu:8001", "--threads", "3", "--overlong", "mean"),
            *("--api-keys", f"{tmp_path}/keys", "--tls-cert", f"{tmp_path}/cert"),
            *("--tls-key", f"{tmp_path}/key", "--otlp-endpoint", "http://otel:4318"),
            *("--shutdown-seconds", "5", "--on-error", "zero", "--image-root", str(tmp_path)),
            *("--cors-origin", "https://app.example.com", "--cors-origin", "*", "--accept-token-ids"),
            *("--image-bucket", "pictures", "--s3-endpoint", "https://store.example.org"),
        )
    )
    assert (settings.engine.name, settings.engine.triton_url, settings.engine.threads) == (
        "triton",
        "gpu:8001",
        3,
    )
    assert settings.overlong == "mean"
    assert settings.access.api_keys == tmp_path / "keys"
    assert (settings.access.tls_cert, settings.access.tls_key) == (tmp_path / "cert", tmp_path / "key")
    assert settings.access.cors_origins == ("https://app.example.com", "*")
    assert settings.access.accept_token_ids
    assert settings.otlp_endpoint == "http://otel:4318"
    assert settings.connections.shutdown_seconds == 5
    assert settings.on_error == "zero"
    assert settings.images.schemes == {"data", "https", "file", "s3"}
    assert (settings.images.roots, settings.images.buckets) == ((tmp_path,), ("pictures",))
    assert settings.images.s3_endpoint == "https://store.example.org"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--overlong", "cut"], "'cut' is not one of 'error', 'truncate', 'mean'"),
        (["--engine", "torch"], "'torch' is not one of 'auto', 'openvino', 'onnx', 'triton'"),
        (["--port", "70000"], "70000 is not in the range"),
        (["--cors-origin", "https://app.example.com/"], "is not an origin"),
        (["--log-format", "xml"], "'xml' is not one of 'text', 'json'"),
    ],
)
def test_usage_errors(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert message in result.output
