"""Errors of libraries come with their cause and a way out, and never as a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from own_code import write_bidirectional

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.loading_errors import loading_errors
from nestvec_schemas.errors import CheckpointUnsupported, DimNotOffered

Write = Callable[..., Path]

TORCHVISION = (
    "\nQwen2VLVideoProcessor requires the Torchvision library but it was not found in your environment. "
    "Check out the instructions on the\ninstallation page"
)
EINOPS = "This modeling file requires the following packages that were not found in your environment: einops"


@pytest.mark.parametrize(
    ("error", "package"),
    [
        (ImportError(TORCHVISION), "torchvision"),
        (ImportError(f"{EINOPS}. Run `pip install einops`"), "einops"),
        (ModuleNotFoundError("No module named 'timm'"), "timm"),
        (ValueError("`tiktoken` is required to read a `tiktoken` file."), "tiktoken"),
    ],
)
def test_a_missing_package_is_named(error: Exception, package: str, tmp_path: Path) -> None:
    says = rf"needs a package that is not installed: {package}\. .*pip install {package}"
    with pytest.raises(CheckpointUnsupported, match=says), loading_errors(tmp_path):
        raise error
    with pytest.raises(CheckpointUnsupported, match=says), loading_errors(tmp_path):
        raise CheckpointUnsupported("the checkpoint cannot be loaded", value="x", next_step="y") from error


def test_other_errors_are_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(
            CheckpointUnsupported, match=r"cannot be loaded: KeyError: 'heads' is missing or unknown\. Check"
        ),
        loading_errors(tmp_path),
    ):
        raise KeyError("heads")
    with (
        pytest.raises(CheckpointUnsupported, match=r"cannot be loaded: AssertionError\. Check"),
        loading_errors(tmp_path),
    ):
        raise AssertionError


def test_errors_of_nestvec_stay(tmp_path: Path) -> None:
    with pytest.raises(DimNotOffered), loading_errors(tmp_path):
        raise DimNotOffered("no", value=1, next_step="z")


@pytest.mark.skipif(find_spec("sentencepiece") is not None, reason="the package is installed")
def test_a_vocabulary_of_sentencepiece_needs_sentencepiece(write_checkpoint: Write, tmp_path: Path) -> None:
    folder = write_checkpoint("XLMRoberta")
    (folder / "tokenizer.json").unlink()
    (folder / "sentencepiece.bpe.model").write_bytes(b"\x0a\x0b")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "XLMRobertaTokenizer"}))
    with pytest.raises(CheckpointUnsupported, match=r"not installed: sentencepiece\. .*pip install"):
        export(ExportOptions(str(folder), tmp_path, "spiece"))


def test_a_package_of_trusted_code_is_named(write_checkpoint: Write, tmp_path: Path) -> None:
    folder = write_checkpoint("Qwen3", num_key_value_heads=2, head_dim=8)
    write_bidirectional(folder, tmp_path / "canary")
    source = folder / "modeling_house.py"
    source.write_text(f"import a_package_that_nobody_has\n{source.read_text()}", "utf-8")
    with pytest.raises(CheckpointUnsupported, match="not installed: a_package_that_nobody_has"):
        export(ExportOptions(str(folder), tmp_path, "house", trust_remote_code=True))
    assert not (tmp_path / "canary").exists()


def test_trusted_code_that_fails_is_no_traceback(write_checkpoint: Write, tmp_path: Path) -> None:
    folder = write_checkpoint("Qwen3", num_key_value_heads=2, head_dim=8)
    write_bidirectional(folder, tmp_path / "canary")
    source = folder / "modeling_house.py"
    source.write_text(source.read_text().replace("super().__init__(config)", "raise KeyError('house')"))
    with pytest.raises(CheckpointUnsupported, match="cannot be loaded as a text encoder: 'house'"):
        export(ExportOptions(str(folder), tmp_path, "house", trust_remote_code=True))
