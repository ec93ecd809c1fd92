"""The benchmark of an ingest under kills, in small: no row is lost, doubled, or has another text's vector."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ingest_kills", ROOT / "benchmarks" / "ingest_kills.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up.
    sys.modules["ingest_kills"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("auto_id", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_every_row_is_stored_once_with_its_vector(
    benchmark: ModuleType, tmp_path: Path, models: Path, auto_id: bool
) -> None:
    kills = {"service": 1, "milvus": 1, "both": 1, "ingest": 1}
    # More rows if the command was done before it could be killed.
    for rows in (500, 2000, 8000):
        plan = benchmark.Plan(
            models=models, rows=rows, batch=16, kills=kills, auto_id=auto_id, delay=rows / 10_000
        )
        folder = tmp_path / str(rows)
        folder.mkdir()
        outcome = benchmark.run_trial(plan, folder)
        assert (outcome.lost, outcome.doubled, outcome.wrong_text, outcome.wrong_vector) == (0, 0, 0, 0)
        assert (outcome.stored, outcome.rejected) == (rows, 0)
        if outcome.killed == kills:
            break
    assert (outcome.killed, outcome.commands) == (kills, 2)
