"""The benchmark of a change under kills, in small: no row is lost, stale or doubled, and readers go on."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    loaded = dict[str, ModuleType]()
    # It imports the others as scripts beside it.
    for name in ("ingest_kills", "change_traffic", "change_kills"):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        loaded[name] = importlib.util.module_from_spec(spec)
        sys.modules[name] = loaded[name]
        spec.loader.exec_module(loaded[name])
    return loaded["change_kills"]


@pytest.mark.nightly
def test_a_changed_collection_has_every_row_as_it_was_written_last(
    benchmark: ModuleType, tmp_path: Path, static: Path
) -> None:
    kills = {"command": 1, "resumed": 1, "service": 1, "milvus": 1}
    plan = benchmark.Plan(
        static, before="wordllama-int8", after="wordllama", rows=600, upserts=60, deletes=20, kills=kills
    )
    outcome, errors = benchmark.run_trial(plan, tmp_path)
    assert (outcome.lost, outcome.stale, outcome.returned, outcome.doubled) == (0, 0, 0, 0)
    assert (outcome.rows, outcome.upserts, outcome.deletes) == (outcome.stored, 60, 20)
    assert errors == []
    assert outcome.fewer_rows == 0
    assert outcome.killed == kills
    assert outcome.commands == 4
