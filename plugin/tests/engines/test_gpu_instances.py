"""What the engine does with a GPU, on a CPU that is declared one."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import onnxruntime
import pytest

from nestvec.engines import onnx as onnx_engine
from nestvec.engines.device import Device, choose_device
from nestvec.engines.factory import EngineName, EngineOptions, open_engine
from nestvec.engines.gpu_options import GpuOptions
from nestvec.engines.graph_sessions import BoundSession, CapturedSession
from nestvec.engines.onnx import OnnxEngine
from nestvec.engines.tensorrt_rtx import PROVIDER
from nestvec.service.preprocess.inputs import collate_ids
from nestvec_schemas.errors import EngineError
from nestvec_schemas.repository import GRAPH

from .test_onnx import counting_graph, exiting_graph, tower

GENEROUS_SECONDS = 120.0


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device of the CPU's provider and memory that counts as one of CUDA."""
    monkeypatch.setattr(onnx_engine, "choose_device", lambda name: Device(name, "CPUExecutionProvider"))
    monkeypatch.setattr(Device, "is_cuda", True)


@pytest.fixture
def encoder(write_encoder: Callable[..., Path]) -> Path:
    folder = write_encoder()
    counting_graph(folder / GRAPH)
    return folder


def open_gpu(folder: Path, **options: Any) -> OnnxEngine:
    return OnnxEngine({"tiny": folder}, device="cuda:0", gpu=GpuOptions(**options))


@pytest.mark.usefixtures("gpu")
def test_as_many_batches_run_at_once_as_there_are_instances(
    encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_gpu(encoder, instances=2)
    assert engine.parallel == 2
    together, run = Barrier(2, timeout=GENEROUS_SECONDS), BoundSession.run
    sessions: set[int] = set()

    def run_together(self: BoundSession, arrays: Mapping[str, np.ndarray]) -> Any:
        sessions.add(id(self.session))
        together.wait()
        return run(self, arrays)

    monkeypatch.setattr(BoundSession, "run", run_together)

    async def both() -> list[Any]:
        batches = (collate_ids([np.arange(1, length + 1)]) for length in (3, 5))
        return await asyncio.gather(*(engine.run("tiny", batch) for batch in batches))

    assert [vectors.tolist() for vectors in asyncio.run(both())] == [[[3]], [[5]]]
    assert len(sessions) == 2
    asyncio.run(engine.close())


@pytest.mark.usefixtures("gpu")
def test_an_instance_is_free_again_after_a_batch_that_failed(encoder: Path) -> None:
    engine = open_gpu(encoder)
    batch = collate_ids([np.array([1, 2])])
    del batch.arrays["attention_mask"]  # type: ignore[attr-defined]
    for _ in range(2):
        with pytest.raises(Exception, match=r"failed on a batch of 1 inputs"):
            engine.run_now("tiny", batch)
    assert engine.run_now("tiny", collate_ids([np.array([1, 2])])).tolist() == [[2]]


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("cuda_graphs", "session"), [(True, CapturedSession), (False, BoundSession)])
def test_cuda_graphs_are_captured_if_chosen(encoder: Path, cuda_graphs: bool, session: type) -> None:
    engine = open_gpu(encoder, cuda_graphs=cuda_graphs)
    ((sessions, _),) = engine._graphs["tiny", 0].values()
    assert [type(item) for item in sessions] == [session]
    assert engine.run_now("tiny", collate_ids([np.array([1, 2])])).tolist() == [[2]]


@pytest.mark.usefixtures("gpu")
def test_a_graph_that_cannot_be_captured_runs_without(
    encoder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session = onnxruntime.InferenceSession

    def refusing(path: str, options: onnxruntime.SessionOptions, providers: list[Any]) -> Any:
        if any(isinstance(provider, tuple) for provider in providers):
            raise RuntimeError("not all nodes are partitioned to the provider")
        return session(path, options, providers=providers)

    def with_options(self: Device, cuda_graphs: bool = False) -> list[Any]:
        return [("CPUExecutionProvider", {})] if cuda_graphs else ["CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", refusing)
    monkeypatch.setattr(Device, "providers", with_options)
    with caplog.at_level(logging.WARNING):
        engine = open_gpu(encoder, cuda_graphs=True)
    assert "runs without CUDA graphs" in caplog.text
    assert engine.run_now("tiny", collate_ids([np.array([1, 2])])).tolist() == [[2]]


@pytest.mark.usefixtures("gpu")
def test_exits_run_without_cuda_graphs(write_encoder: Callable[..., Path]) -> None:
    folder = write_encoder(towers=tower("input_ids", "attention_mask", "exit"))
    exiting_graph(folder / GRAPH)
    engine = open_gpu(folder, cuda_graphs=True)
    assert engine.run_now("tiny", collate_ids([np.array([1, 2, 3])], 2)).tolist() == [[6]]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (GpuOptions(instances=4), "--gpu-instances"),
        (GpuOptions(cuda_graphs=True), "--cuda-graphs"),
    ],
)
@pytest.mark.parametrize("engine", ["auto", "onnx", "openvino", "triton"])
def test_options_of_a_gpu_are_refused_without_one(
    encoder: Path, engine: EngineName, options: GpuOptions, named: str
) -> None:
    if engine in ("auto", "openvino"):
        pytest.importorskip("openvino")
    with pytest.raises(EngineError, match=f"no use for options of a GPU: {named}"):
        open_engine({"tiny": encoder}, EngineOptions(engine, device="auto", gpu=options))


def test_cuda_graphs_are_refused_on_a_device_of_another_provider(
    encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_engine, "choose_device", lambda name: Device("tensorrt-rtx:0", PROVIDER))
    with pytest.raises(EngineError, match=r"--cuda-graphs on tensorrt-rtx:0"):
        OnnxEngine({"tiny": encoder}, device="tensorrt-rtx", gpu=GpuOptions(cuda_graphs=True))


def test_cuda_graphs_are_an_option_of_the_provider() -> None:
    device = Device("cuda:1", "CUDAExecutionProvider")
    assert device.providers() == [("CUDAExecutionProvider", {"device_id": 1}), "CPUExecutionProvider"]
    assert device.providers(cuda_graphs=True)[0] == (
        "CUDAExecutionProvider",
        {"device_id": 1, "enable_cuda_graph": "1"},
    )
    assert (device.memory, device.index) == ("cuda", 1)


def test_cuda_graphs_are_of_one_instance() -> None:
    with pytest.raises(EngineError, match=r"one instance alone.*--gpu-instances 2"):
        GpuOptions(instances=2, cuda_graphs=True)


def test_the_libraries_of_nvidias_packages_are_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(
        onnxruntime, "preload_dlls", lambda: sys.stdout.write("Failed to load libcufft.so.11")
    )
    assert choose_device("cuda").is_cuda
    assert capsys.readouterr().out == ""
    monkeypatch.delattr(onnxruntime, "preload_dlls")
    assert choose_device("cuda:1").index == 1
