from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from nestvec.engines.auto import AutoEngine
from nestvec.engines.contract import Batch
from nestvec.engines.factory import EngineOptions, open_engine
from nestvec.engines.onnx import OnnxEngine
from nestvec.engines.openvino import cache as openvino_cache
from nestvec.engines.openvino import opening as openvino_opening
from nestvec.engines.openvino.engine import OpenVinoEngine
from nestvec.engines.openvino.opening import CompiledGraph, OpenVinoOptions, has_bf16, openvino_core
from nestvec.service.preprocess.inputs import collate_ids
from nestvec_schemas.errors import EngineError, EngineUnavailable, ManifestCorrupt
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import GRAPH
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

from .sums_graph import write_graph

Write = Callable[..., Path]

ROWS = [np.array([1, 2, 3]), np.array([4])]

needs_bf16 = pytest.mark.skipif(not has_bf16(openvino_core()), reason="this CPU does not compute in bf16")


@pytest.fixture
def folder(write_encoder: Write) -> Path:
    folder = write_encoder()
    write_graph(folder / GRAPH)
    return folder


def probes(folder: Path, manifest: Manifest) -> dict[str, list[Batch]]:
    return {"": [collate_ids(ROWS)]}


def auto(folder: Path, **options: Any) -> AutoEngine:
    settings = OpenVinoOptions(probes=probes, **options)
    return AutoEngine({"tiny": folder}, settings, lambda: OnnxEngine({}, device="cpu"))


def test_a_graph_is_run(folder: Path) -> None:
    engine = OpenVinoEngine({"tiny": folder})
    assert asyncio.run(engine.run("tiny", collate_ids(ROWS))).tolist() == [[3, 6], [1, 4]]
    assert asyncio.run(engine.ready("tiny"))
    assert not asyncio.run(engine.ready("other"))
    asyncio.run(engine.close())


def test_a_later_batch_leaves_earlier_vectors_alone(folder: Path) -> None:
    engine = OpenVinoEngine({"tiny": folder})
    first = engine.run_now("tiny", collate_ids(ROWS))
    engine.run_now("tiny", collate_ids([np.array([7, 7]), np.array([9])]))
    assert first.tolist() == [[3, 6], [1, 4]]
    assert first.flags.owndata


def test_an_encoder_that_was_dropped(folder: Path) -> None:
    engine = OpenVinoEngine({"tiny": folder})
    engine.open("tiny", folder, generation=1)
    engine.drop("tiny")
    with pytest.raises(EngineUnavailable, match="is not loaded"):
        engine.run_now("tiny", collate_ids(ROWS))
    again = replace(collate_ids(ROWS), generation=1)
    assert engine.run_now("tiny", again).tolist() == [[3, 6], [1, 4]]


@pytest.mark.parametrize("content", [b"not a graph", b"", None])
def test_a_graph_that_does_not_compile(folder: Path, content: bytes | None) -> None:
    graph = folder / GRAPH
    graph.write_bytes(graph.read_bytes()[:150] if content is None else content)
    with pytest.raises(EngineError, match=r"cannot run the encoder tiny: .*model\.onnx does not compile"):
        OpenVinoEngine({"tiny": folder})


def test_a_graph_that_is_not_the_exported_one(write_encoder: Write) -> None:
    folder = write_encoder(files={GRAPH: "0" * 64})
    write_graph(folder / GRAPH)
    with pytest.raises(ManifestCorrupt, match="is not the file"):
        OpenVinoEngine({"tiny": folder})


def test_a_batch_that_the_graph_refuses(folder: Path) -> None:
    engine = OpenVinoEngine({"tiny": folder})
    batch = collate_ids(ROWS)
    wrong = replace(batch, arrays={**batch.arrays, "attention_mask": np.ones((2, 5), np.int64)})
    with pytest.raises(EngineError, match=r"OpenVINO failed on a batch of 2 inputs with tiny"):
        engine.run_now("tiny", wrong)
    assert engine.run_now("tiny", batch).tolist() == [[3, 6], [1, 4]]


def test_an_input_that_no_batch_has(write_encoder: Write) -> None:
    tower = Tower(inputs=("waveform",), output="sentence_embedding", pooling="mean", max_tokens=8)
    folder = write_encoder(towers={"text": tower})
    write_graph(folder / GRAPH)
    with pytest.raises(EngineError, match="has an input"):
        OpenVinoEngine({"tiny": folder})


def test_bf16_on_a_cpu_without_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nestvec.engines.openvino.engine.has_bf16", lambda core: False)
    with pytest.raises(EngineError, match=r"does not compute in bfloat16.*use fp32"):
        OpenVinoEngine({}, OpenVinoOptions(precision="bf16"))


@needs_bf16
@pytest.mark.parametrize(("cosine", "precision"), [(0.9999, "bf16"), (0.9998, "fp32")])
def test_bf16_is_chosen_where_it_keeps_the_vectors(
    folder: Path, monkeypatch: pytest.MonkeyPatch, cosine: float, precision: str
) -> None:
    monkeypatch.setattr(openvino_opening, "smallest_cosine", lambda *_, **__: cosine)
    info = OpenVinoEngine({"tiny": folder}, OpenVinoOptions(probes=probes)).encoder_info("tiny")
    assert info.precision == precision
    assert info.cosine == (cosine if precision == "bf16" else None)
    assert ("0.99980, less than 0.9999" in info.reason) == (precision == "fp32")


def test_without_bf16_no_probe_is_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_opening, "has_bf16", lambda core: False)
    engine = OpenVinoEngine({"tiny": folder}, OpenVinoOptions(probes=lambda *_: pytest.fail("made")))
    assert engine.encoder_info("tiny").precision == "fp32"


def test_an_operator_that_openvino_lacks_falls_back_by_name(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_graph(folder / GRAPH, "Binarizer", "ai.onnx.ml")
    engine = auto(folder)
    info = engine.encoder_info("tiny")
    assert (info.name, info.provider) == ("onnx", "CPUExecutionProvider")
    assert "does not compile" in info.reason
    assert "Binarizer" in info.reason
    assert "tiny runs on ONNX Runtime, not OpenVINO: " in caplog.text
    assert engine.run_now("tiny", collate_ids(ROWS)).tolist() == [[1, 1], [1, 1]]


def test_a_graph_that_compiles_but_does_not_run_falls_back_by_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(graph: CompiledGraph, batch: Batch) -> Vectors:
        raise RuntimeError("Exception from src/graph.cpp:1628:\nSetLoadStoreScalar expects static shapes\n")

    monkeypatch.setattr(CompiledGraph, "run", fail)
    engine = auto(folder, cache=tmp_path / "compiled")
    assert engine.encoder_info("tiny").reason == (
        "not OpenVINO: it fails on a batch (SetLoadStoreScalar expects static shapes)"
    )
    assert engine.run_now("tiny", collate_ids(ROWS)).tolist() == [[3, 6], [1, 4]]
    assert not list((tmp_path / "compiled").iterdir()), "a lack of memory passes: it is tried again"


def test_vectors_that_are_not_onnx_runtimes_fall_back_by_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(openvino_opening, "largest_difference", lambda *_, **__: 0.02)
    for _ in range(2):  # the second time from the cache
        engine = auto(folder, cache=tmp_path / "compiled")
        info = engine.encoder_info("tiny")
        assert (info.name, info.device) == ("onnx", "cpu")
        assert info.reason == "not OpenVINO: its vectors differ from ONNX Runtime's by up to 0.02"
        assert engine.name == "onnx"
        assert "tiny runs on ONNX Runtime, not OpenVINO" in caplog.text
        assert engine.run_now("tiny", collate_ids(ROWS)).tolist() == [[3, 6], [1, 4]]
        monkeypatch.setattr(openvino_opening, "largest_difference", lambda *_, **__: pytest.fail("compared"))


def test_what_no_probe_tries_falls_back(folder: Path) -> None:
    options = OpenVinoOptions(probes=lambda *_: {})
    engine = AutoEngine({"tiny": folder}, options, lambda: OnnxEngine({}, device="cpu"))
    assert "no probes to compare" in engine.encoder_info("tiny").reason


def test_a_graph_that_nothing_loads(folder: Path) -> None:
    (folder / GRAPH).write_bytes(b"not a graph")
    with pytest.raises(EngineError, match="ONNX Runtime cannot load"):
        auto(folder)


def test_each_encoder_is_on_its_own_engine(folder: Path, write_encoder: Write) -> None:
    other = write_encoder("other", precision="int8-dynamic")
    write_graph(other / GRAPH)
    data = (other / GRAPH).read_bytes()
    model = onnx.load_from_string(data)
    model.graph.name = "DynamicQuantizeLinear"
    onnx.save(model, str(other / GRAPH))
    engine = auto(folder)
    engine.open("other", other)
    assert engine.encoder_info("tiny").name == engine.name == "openvino"
    assert "computed per batch" in engine.encoder_info("other").reason
    for name in ("tiny", "other"):
        assert asyncio.run(engine.run(name, collate_ids(ROWS))).tolist() == [[3, 6], [1, 4]]
        assert asyncio.run(engine.ready(name))
        engine.drop(name)
        with pytest.raises(EngineUnavailable):
            engine.run_now(name, collate_ids(ROWS))
        assert not asyncio.run(engine.ready(name))
    asyncio.run(engine.close())


def test_what_was_compiled_is_loaded_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "compiled"
    info = auto(folder, cache=cache).encoder_info("tiny")
    (entry,) = cache.iterdir()
    assert entry.stat().st_mode & 0o077 == 0
    assert cache.stat().st_mode & 0o077 == 0
    assert json.loads((entry / "decision.json").read_text())["precision"] == info.precision
    assert list(entry.glob("*/*.blob"))
    options = OpenVinoOptions(cache=cache, probes=lambda *_: pytest.fail("tried again"))
    engine = AutoEngine({"tiny": folder}, options, lambda: pytest.fail("compared again"))
    assert engine.encoder_info("tiny") == info
    assert engine.run_now("tiny", collate_ids(ROWS)).tolist() == [[3, 6], [1, 4]]
    monkeypatch.setattr(openvino_opening, "cpu_features", lambda core: ["another CPU"])
    auto(folder, cache=cache)
    assert len(list(cache.iterdir())) == 2


def test_a_changed_graph_is_compiled_again(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "compiled"
    auto(folder, cache=cache)
    write_graph(folder / GRAPH, "Neg")
    assert auto(folder, cache=cache).run_now("tiny", collate_ids(ROWS)).tolist() == [[-3, -6], [-1, -4]]


@pytest.mark.parametrize("damage", ["decision", "blob"])
def test_a_damaged_entry_is_made_again(folder: Path, tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "compiled"
    auto(folder, cache=cache)
    pattern = "*/decision.json" if damage == "decision" else "*/*/*.blob"
    for path in cache.glob(pattern):
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    engine = auto(folder, cache=cache)
    assert engine.run_now("tiny", collate_ids(ROWS)).tolist() == [[3, 6], [1, 4]]
    assert len(list(cache.iterdir())) == 1


SIGNALLED = """
import os, signal, sys, threading
from pathlib import Path
from nestvec.engines.openvino.engine import OpenVinoEngine

signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
engines = [OpenVinoEngine({"tiny": Path(sys.argv[1])})]
thread = threading.Thread(target=engines.clear)
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGUSR1)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no such signal")
def test_signals_are_handled_after_an_engine_is_freed_on_another_thread(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED, str(folder)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


LOADED_FROM_CACHE = """
import sys, openvino
model = openvino.Core().compile_model(sys.argv[1], "CPU", {"CACHE_DIR": sys.argv[2]})
print(model.get_property("LOADED_FROM_CACHE"))
"""


def test_openvino_refuses_what_was_compiled_for_another_cpu(folder: Path, tmp_path: Path) -> None:
    """The second bolt beside the key: a home that several machines share, and CPUs of one name."""

    def load(**environment: str) -> str:
        command = [sys.executable, "-c", LOADED_FROM_CACHE, str(folder / GRAPH), str(tmp_path / "blobs")]
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert load() == "False"
    assert load() == "True"
    assert load(ONEDNN_MAX_CPU_ISA="SSE41") == "False"


def test_a_folder_that_others_may_write_to_is_no_cache(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "compiled"
    cache.mkdir()
    cache.chmod(0o777)
    auto(folder, cache=cache)
    assert not list(cache.iterdir())
    assert "others may write to" in caplog.text


def test_what_nothing_uses_is_removed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "compiled"
    auto(folder, cache=cache)
    monkeypatch.setattr(openvino_cache, "_MAX_UNUSED_SECONDS", -1.0)
    (old,) = cache.iterdir()
    write_graph(folder / GRAPH, "Neg")
    auto(folder, cache=cache)
    assert not old.exists()


def test_the_engine_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folders = {"tiny": folder}
    kinds = {
        name: type(open_engine(folders, EngineOptions(name, cache=tmp_path / "c"), probes))
        for name in ("auto", "openvino", "onnx")
    }
    assert kinds == {"auto": AutoEngine, "openvino": OpenVinoEngine, "onnx": OnnxEngine}
    with pytest.raises(EngineError, match=r"OpenVINO runs on the CPU: --device cuda:0.*--engine onnx"):
        open_engine(folders, EngineOptions("openvino", device="cuda:0"))
    with pytest.raises(EngineError, match="does not support CUDA"):
        open_engine(folders, EngineOptions("auto", device="cuda"))
    monkeypatch.setattr("nestvec.engines.factory.is_installed", lambda package: package != "openvino")
    assert isinstance(open_engine(folders, EngineOptions("auto")), OnnxEngine)
    with pytest.raises(EngineError, match=r"pip install 'nestvec\[openvino\]'"):
        open_engine(folders, EngineOptions("openvino"))
    with pytest.raises(EngineError, match=r"only OpenVINO computes in bf16.*--precision bf16"):
        open_engine(folders, EngineOptions("auto", precision="bf16"))
