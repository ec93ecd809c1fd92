"""The real all-MiniLM-L6-v2 through the exporter and its command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest
from encoder_vectors import encoder_vectors
from sentence_transformers import SentenceTransformer

from nestvec_exporters.probes.texts import probe_texts
from nestvec_exporters.verify.compare import compare_vectors
from nestvec_schemas.errors import VerificationFailed
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import read_manifest, verify_files

NESTVEC = Path(sys.executable).with_name("nestvec")


def nestvec(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [NESTVEC, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=3_600,
    )


@pytest.fixture(scope="module")
def int8(precisions: Path) -> tuple[Manifest, Path]:
    folder = precisions / "minilm-int8-dynamic"
    return read_manifest(folder), folder


def test_fp32_is_the_checkpoint(models: Path) -> None:
    manifest = read_manifest(models / "minilm")
    verify_files(models / "minilm", manifest)
    assert manifest.verification.cosine_min > 0.999999
    assert (manifest.dim, manifest.dims) == (384, (384, 256, 128, 64, 32))
    assert (manifest.layers, manifest.normalised, manifest.prompts) == ((6,), True, {})
    tower = manifest.towers["text"]
    assert (tower.pooling, tower.max_tokens) == ("mean", 256)


def test_int8_is_small_fused_and_near(int8: tuple[Manifest, Path]) -> None:
    manifest, folder = int8
    graph = folder / "1" / "model.onnx"
    assert graph.stat().st_size < 25e6
    operators = [node.op_type for node in onnx.load(graph).graph.node]
    assert operators.count("QAttention") == 6
    assert manifest.verification.cosine_mean > 0.99
    # Odd characters, which no text of the fixture has, come out a little farther away.
    assert manifest.verification.groups["texts"] > 0.98
    assert manifest.verification.cosine_min > 0.97
    assert manifest.dims == (384, 128, 64)


def test_int8_vectors_do_not_pass_as_fp32(
    int8: tuple[Manifest, Path], models: Path, minilm_checkpoint: Path
) -> None:
    sentences = probe_texts()[:16]
    exact = encoder_vectors(models / "minilm", sentences, 256)
    near = encoder_vectors(int8[1], sentences, 256)
    with pytest.raises(VerificationFailed, match="fp32 must reach"):
        compare_vectors(exact, near, "fp32")
    compare_vectors(exact, near, "int8-dynamic")


def test_another_checkpoints_graph_does_not_pass(
    models: Path, minilm_checkpoint: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(minilm_checkpoint, tmp_path / "other"))
    pooling = other / "1_Pooling" / "config.json"
    fields = json.loads(pooling.read_text())
    pooling.write_text(
        json.dumps({**fields, "pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True})
    )
    model = SentenceTransformer(str(other), device="cpu", local_files_only=True)
    sentences = probe_texts()[:16]
    expected = model.encode(list(sentences), batch_size=1)
    with pytest.raises(VerificationFailed, match="too far"):
        compare_vectors(expected, encoder_vectors(models / "minilm", sentences, 256), "int8-dynamic")


def test_the_command_reports_and_lists(minilm_checkpoint: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    done = nestvec(
        *("export", minilm_checkpoint, "--to", models, "--name", "mini", "--dims", "384,64"),
        *("--verify", "quick"),
    )
    assert done.returncode == 0, done.stderr
    assert f"{models / 'mini'}: 384 dims (384, 64), fp32, text of 256 tokens, 91.1 MB" in done.stdout
    assert f"Next: nestvec serve --models {models}" in done.stdout
    stages = [line.partition(" …")[0] for line in done.stderr.splitlines()]
    assert stages == [
        "reading the checkpoint",
        "loading libraries",
        "loading the weights",
        "tracing the graph",
        "comparing with the checkpoint's own library",
    ]
    again = nestvec("export", minilm_checkpoint, "--to", models, "--name", "mini")
    assert again.returncode == 1
    assert again.stderr.startswith("nestvec: an encoder of this name already exists")
    (listed,) = json.loads(nestvec("encoders", "--models", models, "--check", "--json").stdout)
    assert listed["manifest"]["dims"] == [384, 64]
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_an_id_that_cannot_be_fetched_ends_soon_and_says_so(tmp_path: Path) -> None:
    done = nestvec(
        "export",
        "none/such",
        "--to",
        tmp_path / "models",
        HF_ENDPOINT="http://127.0.0.1:9",
        HF_HUB_CACHE=str(tmp_path / "cache"),
    )
    assert done.returncode == 1
    assert "it cannot be downloaded" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "models").exists()


def test_an_interrupt_leaves_nothing(minilm_checkpoint: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [NESTVEC, "export", minilm_checkpoint, "--to", tmp_path / "models"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert process.stderr is not None
    shown = b""
    while b"tracing" not in shown and process.poll() is None:
        shown += process.stderr.read(1)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(60) == 130
    assert b"interrupted" in rest
    assert not list(tmp_path.iterdir())
