"""What a shell offers: the names of encoders and of collections."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from pymilvus import DataType

from nestvec.cli import cli
from nestvec.milvus.connection import open_milvus


def completions(*arguments: str, incomplete: str = "") -> list[str]:
    shell = ShellComplete(cli, {}, "nestvec", "_NESTVEC_COMPLETE")
    return [item.value for item in shell.get_completions(list(arguments), incomplete)]


def test_commands_are_completed() -> None:
    assert completions(incomplete="e") == ["encoders", "evaluate", "export"]


@pytest.mark.parametrize("option", [["serve", "--encoder"], ["evaluate", "--rerank"]])
def test_encoders_are_completed_from_the_option_or_the_environment(
    option: list[str], models_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, flag = option
    assert completions(name, "--models", str(models_folder), flag, incomplete="ti") == ["tiny"]
    monkeypatch.setenv("NESTVEC_MODELS", str(models_folder))
    assert completions(name, flag) == ["tiny"]
    assert completions(name, flag, incomplete="x") == []


def test_encoders_of_a_bridge_are_completed(models_folder: Path) -> None:
    assert completions("bridge", "--to", str(models_folder), incomplete="ti") == ["tiny"]


def test_collections_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = str(tmp_path / "papers.db")
    with open_milvus(uri) as client:
        for name in ("papers", "patents"):
            schema = client.create_schema()
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("v", DataType.FLOAT_VECTOR, dim=4)
            client.create_collection(name, schema=schema)
    assert completions("ingest", "--uri", uri, "--collection", incomplete="pap") == ["papers"]
    monkeypatch.setenv("NESTVEC_URI", uri)
    assert completions("collection", "show", incomplete="pa") == ["papers", "patents"]
    assert completions("collection", "drop") == ["papers", "patents"]


def test_nothing_is_offered_where_there_is_no_milvus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NESTVEC_URI", raising=False)
    assert completions("collection", "show") == []
    assert completions("collection", "show", "--uri", "absent.db") == []
