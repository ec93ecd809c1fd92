"""The benchmark for GPUs, as far as a CPU can run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.nightly

PROGRAM = Path(__file__).parents[1] / "benchmarks" / "gpu.py"

GENEROUS_SECONDS = 900


def run(*arguments: str | Path) -> None:
    command = [sys.executable, PROGRAM, "--device", "cpu", "--smoke", *arguments]
    subprocess.run(command, check=True, timeout=GENEROUS_SECONDS, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu") / "graphs"
    run("--prepare", folder)
    return folder


def rows(graphs: Path, file: Path, *arguments: str) -> list[dict[str, Any]]:
    run("--graphs", graphs, "--json", file, *arguments)
    written: list[dict[str, Any]] = json.loads(file.read_text())
    return written


def test_each_way_of_passing_a_batch_gives_the_same_vectors(graphs: Path, tmp_path: Path) -> None:
    written = rows(graphs, tmp_path / "gpu.json", "--only", "fp16 fused")
    assert [row for row in written if "skipped" in row] == []
    contenders = {row["contender"].removeprefix("onnx fp16 fused") for row in written}
    assert contenders == {"", ", one projection", ", bound", ", CUDA graphs", ", 2 instances"}
    cosines = [row["cosine_min"] for row in written if row["batch"] == "texts"]
    assert len(cosines) == len(contenders)
    assert min(cosines) > 0.9999
    assert all(row["tokens_per_second"] > 0 for row in written)


def test_what_a_cpu_cannot_run_is_named_with_its_reason(graphs: Path, tmp_path: Path) -> None:
    written = rows(graphs, tmp_path / "gpu.json", "--only", "packed")
    (row,) = written
    assert row["contender"] == "onnx fp16 packed"
    assert "RemovePadding" in row["skipped"]


def test_a_budget_that_is_spent_starts_nothing(graphs: Path, tmp_path: Path) -> None:
    written = rows(graphs, tmp_path / "gpu.json", "--budget", "0")
    assert len(written) > 10
    assert {row["skipped"] for row in written} == {"the budget of 0 s is spent"}
