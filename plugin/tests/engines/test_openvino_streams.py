from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from nestvec.engines.auto import AutoEngine
from nestvec.engines.contract import Batch, StreamingEngine
from nestvec.engines.factory import EngineOptions, MemoryLimits, open_engine
from nestvec.engines.onnx import OnnxEngine
from nestvec.engines.openvino import engine as openvino_engine
from nestvec.engines.openvino import streams as openvino_streams
from nestvec.engines.openvino.engine import OpenVinoEngine
from nestvec.engines.openvino.opening import OpenVinoOptions
from nestvec.service.preprocess.inputs import collate_ids
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import GRAPH

from .sums_graph import write_graph

Write = Callable[..., Path]

pytestmark = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core runs one batch at a time")

ROWS = [np.array([1, 2, 3]), np.array([4])]
SUMS = [[3, 6], [1, 4]]
ALONE = collate_ids(ROWS)
BESIDE = replace(ALONE, alone=False)


@pytest.fixture
def folder(write_encoder: Write) -> Path:
    """An encoder whose graph answers with the number of tokens of each text and their sum."""
    folder = write_encoder()
    write_graph(folder / GRAPH)
    return folder


def probes(folder: Path, manifest: Manifest) -> dict[str, list[Batch]]:
    return {"": [ALONE]}


def opened(folder: Path, **options: Any) -> OpenVinoEngine:
    return OpenVinoEngine({"tiny": folder}, OpenVinoOptions(**{"threads": 2, **options}))


def put_under_load(engine: OpenVinoEngine) -> None:
    """Run batches beside one another until their graphs are compiled, or that failed."""
    for _ in range(openvino_streams._BUSY_BATCHES):
        assert engine.run_now("tiny", BESIDE).tolist() == SUMS
    engine._compiler.submit(lambda: None).result(300)


def streams_of(engine: OpenVinoEngine, batch: Batch) -> int:
    """Among how many batches OpenVINO divides its threads in the graph for a batch."""
    graph = engine._opened["tiny", batch.generation].graph(batch)
    return int(graph.compiled.get_property("NUM_STREAMS"))


def test_batches_that_are_not_alone_have_a_part_of_the_cores_each(folder: Path) -> None:
    engine = opened(folder)
    assert isinstance(engine, StreamingEngine)
    assert (engine.parallel, engine.streams("tiny"), engine.encoder_info("tiny").streams) == (2, 2, 2)
    assert engine.streams("other") == 1
    put_under_load(engine)
    assert streams_of(engine, BESIDE) == 2
    assert streams_of(engine, ALONE) == 1
    with ThreadPoolExecutor(2) as pool:
        batches = [collate_ids([np.full(length, length)]) for length in range(1, 60)]
        answers = pool.map(lambda batch: engine.run_now("tiny", replace(batch, alone=False)), batches)
        assert [answer.tolist() for answer in answers] == [[[n, n * n]] for n in range(1, 60)]


def test_a_few_batches_that_met_compile_nothing(folder: Path) -> None:
    engine = opened(folder)
    for _ in range(openvino_streams._BUSY_BATCHES - 1):
        engine.run_now("tiny", BESIDE)
        engine.run_now("tiny", ALONE)
    engine._compiler.submit(lambda: None).result(300)
    assert engine._opened["tiny", 0]._graphs is None


@pytest.mark.parametrize("options", [{"threads": 1}, {"max_streams": 1}])
def test_an_engine_that_runs_one_batch_at_a_time(folder: Path, options: dict[str, int]) -> None:
    engine = opened(folder, **options)
    assert (engine.parallel, engine.streams("tiny")) == (1, 1)
    put_under_load(engine)
    assert streams_of(engine, BESIDE) == 1


def test_a_memory_budget_counts_graphs_once(folder: Path, tmp_path: Path) -> None:
    options = EngineOptions("openvino", threads=2, cache=tmp_path / "compiled")
    assert open_engine({"tiny": folder}, options, probes).parallel == 2
    options = replace(options, memory=MemoryLimits(budget_bytes=1 << 30))
    assert open_engine({"tiny": folder}, options, probes).parallel == 1


def test_large_graphs_are_compiled_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_streams, "_MAX_BYTES", (folder / GRAPH).stat().st_size - 1)
    assert opened(folder).streams("tiny") == 1


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("available_memory", lambda: 0, "0 MB of memory are available"),
        ("smallest_cosine", lambda *_, **__: 0.9, "a cosine of 0.90000"),
    ],
)
def test_what_keeps_batches_one_after_the_other_is_logged(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    value: object,
    reason: str,
) -> None:
    monkeypatch.setattr(openvino_streams, name, value)
    engine = opened(folder)
    put_under_load(engine)
    assert "batches of tiny run one after the other, not at once: " in caplog.text
    assert reason in caplog.text
    assert (engine.streams("tiny"), streams_of(engine, BESIDE)) == (1, 1)
    assert engine.run_now("tiny", BESIDE).tolist() == SUMS


def test_files_that_were_replaced_are_not_compiled(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = opened(folder)
    (folder / GRAPH).write_bytes((folder / GRAPH).read_bytes() + b" ")
    put_under_load(engine)
    assert "its files were replaced" in caplog.text
    assert engine.run_now("tiny", BESIDE).tolist() == SUMS


def test_files_that_are_replaced_meanwhile_are_not_run(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(folder)
    streams = engine._opened["tiny", 0]
    compile_graphs = type(streams._opening)._compile

    def replace_and_compile(opening: Any, *arguments: Any) -> Any:
        (folder / GRAPH).write_bytes((folder / GRAPH).read_bytes())
        return compile_graphs(opening, *arguments)

    monkeypatch.setattr(type(streams._opening), "_compile", replace_and_compile)
    put_under_load(engine)
    assert "its files were replaced" in caplog.text
    assert (engine.streams("tiny"), streams._graphs) == (1, None)


def test_an_encoder_that_was_dropped_is_not_compiled(folder: Path) -> None:
    engine = opened(folder)
    streams = engine._opened["tiny", 0]
    engine.drop("tiny")
    assert engine.streams("tiny") == 1
    for _ in range(openvino_streams._BUSY_BATCHES):
        streams.graph(BESIDE)
    engine._compiler.submit(lambda: None).result(300)
    assert streams._graphs is None


def test_graphs_of_an_encoder_that_is_dropped_meanwhile_are_not_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(folder)
    streams = engine._opened["tiny", 0]
    compiled: list[Any] = []
    free: list[bool] = []

    def compare(*_: object, **__: object) -> float:
        engine.drop("tiny")
        return 1.0

    open_streams = streams._opening.open_streams

    def open_and_note(*arguments: Any) -> Any:
        graphs = open_streams(*arguments)
        compiled.append(weakref.ref(graphs[""]))
        return graphs

    monkeypatch.setattr(type(streams._opening), "open_streams", lambda _, *rest: open_and_note(*rest))
    monkeypatch.setattr(openvino_streams, "smallest_cosine", compare)
    monkeypatch.setattr(openvino_streams, "return_free_memory", lambda: free.append(compiled[0]() is None))
    for _ in range(openvino_streams._BUSY_BATCHES):
        streams.graph(BESIDE)
    engine._compiler.submit(lambda: None).result(300)
    assert free == [True]
    assert streams._graphs is None


def test_both_are_loaded_from_what_was_compiled(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "compiled"
    engine = opened(folder, cache=cache, probes=probes)
    blobs = {path: path.stat().st_mtime_ns for path in cache.glob("*/*/*.blob")}
    put_under_load(engine)
    assert streams_of(engine, BESIDE) == 2
    assert {path: path.stat().st_mtime_ns for path in cache.glob("*/*/*.blob")} == blobs


def test_onnx_runtime_runs_one_batch_at_a_time(folder: Path, write_encoder: Write) -> None:
    other = write_encoder("other")
    (other / GRAPH).parent.mkdir(exist_ok=True)
    (other / GRAPH).write_bytes((folder / GRAPH).read_bytes())
    options = OpenVinoOptions(
        threads=2,
        probes=lambda folder, manifest: {} if manifest.name == "other" else probes(folder, manifest),
    )
    engine = AutoEngine({"tiny": folder, "other": other}, options, lambda: OnnxEngine({}, device="cpu"))
    assert isinstance(engine, StreamingEngine)
    assert engine.parallel == 2
    assert [engine.encoder_info(name).name for name in ("tiny", "other")] == ["openvino", "onnx"]
    assert [engine.encoder_info(name).streams for name in ("tiny", "other")] == [2, 1]


def test_an_engine_is_closed_while_it_compiles(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for what may take minutes, and nobody hears of how that ends."""
    monkeypatch.setattr(openvino_engine, "_COMPILE_SECONDS", 0.01)
    engine = opened(folder)
    streams = engine._opened["tiny", 0]
    compile_graphs, started, may_end = type(streams._opening)._compile, Event(), Event()

    def compile_late(opening: Any, *arguments: Any) -> Any:
        started.set()
        may_end.wait(300)
        (folder / GRAPH).unlink()
        return compile_graphs(opening, *arguments)

    monkeypatch.setattr(type(streams._opening), "_compile", compile_late)
    for _ in range(openvino_streams._BUSY_BATCHES):
        engine.run_now("tiny", BESIDE)
    assert started.wait(300)
    asyncio.run(engine.close())
    assert streams.compiling is not None
    assert not streams.compiling.done()
    may_end.set()
    streams.compiling.result(300)
    assert "tiny" not in caplog.text
    assert streams._graphs is None
