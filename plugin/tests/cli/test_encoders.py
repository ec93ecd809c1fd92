from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result

from nestvec.cli import cli

Write = Callable[..., Path]


def listed(models: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["encoders", "--models", str(models), *options])


def test_encoders_are_listed_with_what_a_reader_asks(models_folder: Path) -> None:
    done = listed(models_folder)
    assert done.exit_code == 0
    row = next(line for line in done.output.splitlines() if "tiny" in line)
    for shown in ("16 8 4", "4 2", "fp32", "plain", "mean", "1.0000"):
        assert shown in row


def test_json_holds_the_manifest(models_folder: Path) -> None:
    (found,) = json.loads(listed(models_folder, "--json").output)
    assert found["name"] == "tiny"
    assert found["manifest"]["dims"] == [16, 8, 4]
    assert found["bytes"] == 0


def test_an_empty_folder_says_how_to_export(tmp_path: Path) -> None:
    done = listed(tmp_path)
    assert done.exit_code == 0
    assert f"nestvec export CHECKPOINT --to {tmp_path}" in done.output
    assert json.loads(listed(tmp_path, "--json").output) == []


def test_a_damaged_encoder_is_shown_with_the_others(models_folder: Path, write_encoder: Write) -> None:
    (write_encoder("broken") / "encoder.json").write_text("{")
    done = listed(models_folder)
    assert done.exit_code == 1
    assert "16 8 4" in done.stdout
    assert done.stderr.startswith("broken: ")
    assert "is not JSON" in done.stderr
    broken, tiny = json.loads(listed(models_folder, "--json").stdout)
    assert "is not JSON" in broken["error"]
    assert "manifest" in tiny


def test_a_missing_file_is_an_error(write_encoder: Write) -> None:
    folder = write_encoder("holed", files={"1/model.onnx": "00"})
    done = listed(folder.parent)
    assert done.exit_code == 1
    assert "lacks files that its manifest lists: 1/model.onnx" in done.stderr


def test_checksums_are_compared_on_request(write_encoder: Write) -> None:
    sound = hashlib.sha256(b"graph").hexdigest()
    folder = write_encoder("one", files={"graph": sound})
    (folder / "graph").write_bytes(b"graph")
    assert listed(folder.parent, "--check").exit_code == 0
    (folder / "graph").write_bytes(b"grape")
    assert listed(folder.parent).exit_code == 0
    done = listed(folder.parent, "--check")
    assert done.exit_code == 1
    assert "is not the file that was exported" in done.stderr
