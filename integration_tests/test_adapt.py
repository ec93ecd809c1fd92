"""Training the real all-MiniLM-L6-v2 for some steps: stopped, resumed, exported."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.checkpoint import read_checkpoint
from nestvec_schemas.samples.docstrings import sample_texts

NESTVEC = Path(sys.executable).with_name("nestvec")
ROWS = 260
HANG_SECONDS = 3_600


@pytest.fixture(scope="module")
def words(minilm_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A command that trains for some steps on short texts of this machine."""
    folder = tmp_path_factory.mktemp("adapt")
    rows = ({"_id": str(at), "title": "", "text": text} for at, text in enumerate(sample_texts(ROWS)))
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = [
        "adapt",
        str(minilm_checkpoint),
        "--to",
        str(folder / "nested"),
        "--texts",
        str(folder / "corpus.jsonl"),
    ]
    given += ["--exits", "3", "--dims", "64", "--steps", "16", "--batch", "16", "--max-tokens", "24"]
    return [str(NESTVEC), *given, "--learning-rate", "1e-4", "--json"]


@pytest.fixture(scope="module")
def adapted(words: list[str]) -> dict[str, object]:
    """The output of a command that was stopped during training and then run again."""
    work = Path(words[words.index("--to") + 1]).parent / ".nested.adapting"
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first:
        until = time.monotonic() + HANG_SECONDS
        while first.poll() is None and not (work / "state.safetensors").exists() and time.monotonic() < until:
            time.sleep(0.05)
        first.send_signal(signal.SIGTERM)
        _, said = first.communicate(timeout=HANG_SECONDS)
    assert first.returncode == 130, said
    assert "To continue, run the same command again" in said
    again = subprocess.run(words, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert again.returncode == 0, again.stderr
    found: dict[str, object] = json.loads(again.stdout)
    assert not work.exists()
    return found


def test_a_stopped_run_goes_on_to_its_end(adapted: dict[str, object]) -> None:
    assert adapted["finished"] is True and adapted["steps"] == 16
    assert adapted["method"] == "distillation" and adapted["data"] == "corpus.jsonl"
    assert (adapted["dims"], adapted["layers"]) == ([384, 64], [6, 3])


def test_held_out_figures_become_better(adapted: dict[str, dict[str, dict[str, dict[str, float]]]]) -> None:
    before, after = adapted["before"], adapted["after"]
    assert after["alike"]["6"]["64"] > before["alike"]["6"]["64"]
    assert after["across"]["3"]["64"] > before["across"]["3"]["64"]


def test_the_result_is_an_ordinary_checkpoint_in_the_space_it_had(
    adapted: dict[str, str], minilm_checkpoint: Path
) -> None:
    assert read_checkpoint(adapted["path"]).trained
    texts = list(sample_texts(8))
    new = SentenceTransformer(adapted["path"], device="cpu")
    old = SentenceTransformer(str(minilm_checkpoint), device="cpu")
    assert new.max_seq_length == old.max_seq_length
    found, own = new.encode(texts), old.encode(texts)
    # A rotation has gone before all: only cosines between texts can be compared.
    assert np.abs(found @ found.T - own @ own.T).max() < 0.15


def test_it_exports_like_any(adapted: dict[str, str], tmp_path: Path) -> None:
    manifest = export(ExportOptions(adapted["path"], tmp_path / "models", "nested", verify="quick"))
    assert manifest.nesting == "trained"
    assert manifest.source == "nested" and manifest.dim == 384
    assert manifest.verification.cosine_min > 0.99999


@pytest.fixture(scope="module")
def mapped(minilm_checkpoint: Path, words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint with a linear map, trained for some steps, and the output in ``out.json`` beside it."""
    folder = tmp_path_factory.mktemp("map")
    to, corpus = folder / "mapped", words[words.index("--texts") + 1]
    given = ["adapt", str(minilm_checkpoint), "--to", str(to), "--texts", corpus, "--dims", "64,32"]
    given += ["--steps", "40", "--batch", "64", "--max-tokens", "48", "--json"]
    done = subprocess.run([str(NESTVEC), *given], capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.returncode == 0, done.stderr
    (folder / "out.json").write_text(done.stdout)
    return to


@pytest.mark.nightly
def test_a_linear_map_alone_improves_short_vectors_and_not_at_the_cost_of_full_ones(mapped: Path) -> None:
    result = json.loads((mapped.parent / "out.json").read_text())
    assert result["method"] == "linear map" and result["finished"] is True
    before, after = result["before"]["alike"]["6"], result["after"]["alike"]["6"]
    assert after["32"] > before["32"] and after["64"] > before["64"]
    assert after["384"] >= before["384"] - 1e-3


@pytest.mark.nightly
def test_a_linear_map_is_part_of_the_exported_graph(mapped: Path, tmp_path: Path) -> None:
    manifest = export(ExportOptions(str(mapped), tmp_path / "models", "mapped", verify="quick"))
    assert manifest.nesting == "trained" and manifest.dim == 384
    # The reference is sentence-transformers' own run of the adapted checkpoint, which has the map.
    assert manifest.verification.cosine_min > 0.99999
