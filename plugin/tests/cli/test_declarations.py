from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from nestvec.cli import cli
from nestvec.cli.reports.export_report import _not_honoured
from nestvec_exporters import architectures
from nestvec_exporters.inventory.declaration import Declaration
from nestvec_schemas.errors import CheckpointUnsupported

HONOURED = Declaration("config.json", "hidden_size", 32, "honoured", "transformers' BertConfig")
REFUSED = Declaration("config.json", "use_gated_mlp", True, "refused", "transformers does not read this key")
HEADS = Declaration("colbert_linear.pt", "", None, "ignored", "--ignore: nothing names these weights")


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> list[Declaration]:
    declarations: list[Declaration] = [HONOURED, HEADS]
    monkeypatch.setattr(architectures, "explain_checkpoint", lambda options: tuple(declarations))
    return declarations


def test_explain_lists_every_declaration_and_writes_nothing(
    declared: list[Declaration], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["export", "checkpoint", "--explain"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "hidden_size" in result.output
    assert "1 honoured, 1 ignored" in result.output
    assert list(tmp_path.iterdir()) == []


def test_explain_fails_as_the_export_would_after_printing(declared: list[Declaration]) -> None:
    declared.append(REFUSED)
    result = CliRunner().invoke(cli, ["export", "checkpoint", "--explain", "--json"])
    assert isinstance(result.exception, CheckpointUnsupported)
    assert "--ignore config.json:use_gated_mlp" in str(result.exception)
    rows = json.loads(result.stdout)
    assert [row["outcome"] for row in rows] == ["honoured", "ignored", "refused"]
    assert rows[0] == {
        "file": "config.json",
        "key": "hidden_size",
        "value": "32",
        "outcome": "honoured",
        "reason": "transformers' BertConfig",
    }


def test_what_is_ignored_or_not_reached_is_a_warning() -> None:
    declarations = {
        "colbert_linear.pt": {"": "ignored: --ignore: nothing names these weights"},
        "config.json": {"hidden_size": "honoured: transformers' BertConfig"},
        "tokenizer_config.json": {
            "model_max_length": "honoured: texts are truncated to 512 of 1024 tokens: none"
        },
    }
    assert _not_honoured(declarations) == (
        "warning: colbert_linear.pt: --ignore: nothing names these weights\n"
        "warning: tokenizer_config.json:model_max_length: texts are truncated to 512 of 1024 tokens: none\n"
    )
