"""Evaluations and rotations whose texts are encoded on Ray are those of this process."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from integration_tests.fixtures.tiny_checkpoints import write_tiny

from nestvec.bulk.graph_batches import RayBatches
from nestvec.bulk.on_ray import RayOptions
from nestvec.bulk.ordered_pool import ordered_pool
from nestvec.bulk.windows import RayWindows
from nestvec.cli.evaluate import _open_encoder
from nestvec.evaluate.evaluation import Evaluation, evaluate, exact_index, open_datasets
from nestvec.evaluate.outcomes import EvaluateOptions
from nestvec.evaluate.variants import RequestedSizes, choose_variants
from nestvec.evaluate.vectors.sources import Backend
from nestvec.evaluate.vectors.window_work import RunWindows, run_here
from nestvec_exporters import ExportOptions, Listener, Overrides, export
from nestvec_exporters.nesting.sampling import RunBatches
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import ROTATION
from nestvec_schemas.samples.sample import Sample

DOCUMENTS = 1_700
"""Four windows."""


def write_dataset(folder: Path) -> Path:
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": f"d{n}", "text": f"document {n} of {n % 7}"} for n in range(DOCUMENTS)]
    queries = [{"_id": f"q{n}", "text": f"document {n * 30}"} for n in range(40)]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judgements = "".join(f"q{n}\td{n * 30}\t1\n" for n in range(40))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judgements}")
    return folder


def kill_a_worker() -> bool:
    """End a process below this one that encodes windows; whether there is one."""
    parents: dict[int, int] = {}
    workers: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(stat[1])
                if b"ray::_Worker" in (entry / "cmdline").read_bytes():
                    workers.append(int(entry.name))
    for worker in workers:
        above = worker
        while above in parents and above != os.getpid():
            above = parents[above]
        if above == os.getpid():
            os.kill(worker, signal.SIGKILL)
            return True
    return False


@pytest.mark.nightly
def test_windows_are_encoded_by_workers_of_which_some_are_lost(static: Path, tmp_path: Path) -> None:
    datasets = open_datasets([write_dataset(tmp_path / "papers")])
    variants = choose_variants(static, ["wordllama"], (), RequestedSizes(dims=(256, 64)))
    killed: list[bool] = []

    def run(name: str, run_windows: RunWindows) -> Evaluation:
        @contextmanager
        def progress(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
            def advance(count: int) -> None:
                if (
                    name == "ray"
                    and title.startswith("Encoding")
                    and "documents" in title
                    and not any(killed)
                ):
                    killed.append(kill_a_worker())

            yield advance

        backend = Backend(_open_encoder, exact_index, tmp_path / name, progress, run_windows=run_windows)
        return evaluate(datasets, variants, EvaluateOptions(("float",), 100, 0, 0), backend)

    here = run("here", run_here)
    with ordered_pool(RayOptions(cpus=0.5)) as pool:
        there = run("ray", RayWindows(pool))
        again = run("ray", RayWindows(pool))
    assert any(killed)
    assert metrics(here) == metrics(there) == metrics(again)
    for path in (tmp_path / "here").rglob("vectors.f32"):
        other = tmp_path / "ray" / path.relative_to(tmp_path / "here")
        np.testing.assert_allclose(np.fromfile(other, np.float32), np.fromfile(path, np.float32), atol=1e-6)


def metrics(evaluation: Evaluation) -> list[dict[str, object]]:
    return [
        {name: value for name, value in row.items() if not name.startswith("ms_per_")}
        for row in evaluation.rows
    ]


@pytest.mark.nightly
def test_a_rotation_is_fitted_on_vectors_from_workers_of_which_some_are_lost(tmp_path: Path) -> None:
    write_tiny("decoder", tmp_path / "checkpoint")
    sample = Sample("texts", tuple(f"text {n} " + "word " * (n % 9) for n in range(600)))
    killed: list[bool] = []

    def run(name: str, run_batches: RunBatches | None) -> Manifest:
        stages: list[str] = []

        def step(done: int, total: int) -> None:
            if run_batches and stages[-1].startswith("embedding") and not any(killed) and done < total:
                killed.append(kill_a_worker())

        options = ExportOptions(
            str(tmp_path / "checkpoint"),
            tmp_path / name,
            "tiny",
            rotation="pca",
            exits=(1,),
            sample=sample,
            verify="quick",
            overrides=Overrides(pooling="lasttoken"),
        )
        return export(options, Listener(stages.append, step), run_batches=run_batches)

    here = run("here", None)
    with ordered_pool(RayOptions(cpus=0.5)) as pool:
        there = run("ray", RayBatches(pool))
    assert any(killed)
    assert here.fit and there.fit
    assert there.fit.texts == here.fit.texts
    assert there.fit.plain == pytest.approx(here.fit.plain, abs=0.01)
    rotations = [np.load(tmp_path / name / "tiny" / ROTATION) for name in ("here", "ray")]
    np.testing.assert_allclose(rotations[1], rotations[0], atol=1e-3)
