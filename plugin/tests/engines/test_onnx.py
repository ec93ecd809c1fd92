from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from nestvec.engines.onnx import OnnxEngine
from nestvec.service.preprocess.inputs import collate_ids
from nestvec_schemas.errors import EngineError, ManifestCorrupt
from nestvec_schemas.repository import GRAPH, sha256
from nestvec_schemas.towers import Tower


def counting_graph(path: Path) -> None:
    """A graph that answers with the number of tokens of each text, in one dim."""
    shape = ["batch", "tokens"]
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, shape)
        for name in ("input_ids", "attention_mask")
    ]
    output = onnx.helper.make_tensor_value_info("sentence_embedding", onnx.TensorProto.FLOAT, ["batch", 1])
    axes = onnx.numpy_helper.from_array(np.array([1]), "axes")
    nodes = [
        onnx.helper.make_node("ReduceSum", ["attention_mask", "axes"], ["count"], keepdims=1),
        onnx.helper.make_node("Cast", ["count"], ["sentence_embedding"], to=onnx.TensorProto.FLOAT),
    ]
    graph = onnx.helper.make_graph(nodes, "counting", inputs, [output], [axes])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir()
    onnx.save(model, str(path))


def test_a_graph_is_run(write_encoder: Callable[..., Path]) -> None:
    folder = write_encoder()
    counting_graph(folder / GRAPH)
    engine = OnnxEngine({"tiny": folder})
    batch = collate_ids([np.array([1, 2, 3]), np.array([4])])
    vectors = asyncio.run(engine.run("tiny", batch))
    assert vectors.tolist() == [[3.0], [1.0]]
    asyncio.run(engine.close())


@pytest.mark.parametrize(("share_cores", "setting"), [(False, "1"), (True, "0")])
def test_threads_spin_unless_they_share_the_cores(
    write_encoder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, share_cores: bool, setting: str
) -> None:
    folder = write_encoder()
    counting_graph(folder / GRAPH)
    opened: list[onnxruntime.SessionOptions] = []
    session = onnxruntime.InferenceSession

    def open_session(path: str, options: onnxruntime.SessionOptions, providers: Any) -> Any:
        opened.append(options)
        return session(path, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", open_session)
    OnnxEngine({"tiny": folder}, share_cores=share_cores)
    assert opened[0].get_session_config_entry("session.intra_op.allow_spinning") == setting


def test_a_device_that_onnx_runtime_falls_back_from(
    write_encoder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_encoder()
    counting_graph(folder / GRAPH)
    claimed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: claimed)
    for device, name in (("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1")):
        with pytest.raises(
            EngineError, match=rf"cannot use {name}: runs on CPUExecutionProvider.*--device cpu"
        ):
            OnnxEngine({"tiny": folder}, device=device)
    assert OnnxEngine({"tiny": folder}, device="cpu").info.device == "cpu"


@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_a_device_without_a_provider(device: str) -> None:
    with pytest.raises(EngineError, match=rf"does not support CUDA: {device}\. Install the GPU package"):
        OnnxEngine({}, device=device)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_what_is_no_device(device: str) -> None:
    with pytest.raises(EngineError, match=r"no such device.*Use cpu, cuda, cuda:1 or tensorrt-rtx"):
        OnnxEngine({}, device=device)


def exiting_graph(path: Path) -> None:
    """A graph that answers with the tokens of each text times the layer that its batch stopped after.

    Layer 4 is inside an If on the deepest exit of the batch, as exported graphs nest their layers.
    """
    tensor, node = onnx.TensorProto, onnx.helper.make_node
    inputs = [
        onnx.helper.make_tensor_value_info(name, tensor.INT64, shape)
        for name, shape in (
            ("input_ids", ["batch", "tokens"]),
            ("attention_mask", ["batch", "tokens"]),
            ("exit", ["batch", 1]),
        )
    ]
    output = onnx.helper.make_tensor_value_info("sentence_embedding", tensor.FLOAT, ["batch", 1])

    def layer(number: int) -> onnx.GraphProto:
        value = onnx.numpy_helper.from_array(np.array([number], np.float32), f"layer{number}")
        out = onnx.helper.make_tensor_value_info(f"out{number}", tensor.FLOAT, ["batch", 1])
        made = node("Mul", ["real", f"layer{number}"], [f"out{number}"])
        return onnx.helper.make_graph([made], f"upto{number}", [], [out], [value])

    constants = [
        onnx.numpy_helper.from_array(np.array([1]), "axes"),
        onnx.numpy_helper.from_array(np.array(2), "two"),
    ]
    nodes = [
        node("ReduceSum", ["attention_mask", "axes"], ["count"], keepdims=1),
        node("Cast", ["count"], ["real"], to=tensor.FLOAT),
        node("ReduceMax", ["exit"], ["deepest"], keepdims=0),
        node("Greater", ["deepest", "two"], ["deeper"]),
        node("If", ["deeper"], ["sentence_embedding"], then_branch=layer(4), else_branch=layer(2)),
    ]
    graph = onnx.helper.make_graph(nodes, "exiting", inputs, [output], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir()
    onnx.save(model, str(path))


def tower(*inputs: str) -> dict[str, Tower]:
    return {"text": Tower(inputs=inputs, output="sentence_embedding", pooling="mean", max_tokens=8)}


@pytest.mark.parametrize(("exit", "layer"), [(0, 4), (4, 4), (2, 2)])
def test_a_graph_with_exits_is_told_the_batchs(
    write_encoder: Callable[..., Path], exit: int, layer: int
) -> None:
    folder = write_encoder(towers=tower("input_ids", "attention_mask", "exit"))
    exiting_graph(folder / GRAPH)
    engine = OnnxEngine({"tiny": folder})
    vectors = engine.run_now("tiny", collate_ids([np.array([1, 2, 3]), np.array([4])], exit))
    assert vectors.tolist() == [[3.0 * layer], [1.0 * layer]]


def test_an_input_that_no_batch_has(write_encoder: Callable[..., Path]) -> None:
    folder = write_encoder(towers=tower("input_ids", "attention_mask", "waveform"))
    with pytest.raises(EngineError, match=r"tiny has an input.*waveform\. Export the encoder again"):
        OnnxEngine({"tiny": folder})


def test_a_graph_that_does_not_load(write_encoder: Callable[..., Path]) -> None:
    folder = write_encoder()
    (folder / GRAPH).parent.mkdir()
    (folder / GRAPH).write_bytes(b"not a graph")
    with pytest.raises(EngineError, match=r"cannot load .*model\.onnx.*Export the encoder again"):
        OnnxEngine({"tiny": folder})


def test_a_graph_that_is_not_the_exported_one(write_encoder: Callable[..., Path]) -> None:
    folder = write_encoder(files={GRAPH: "0" * 64})
    counting_graph(folder / GRAPH)
    with pytest.raises(ManifestCorrupt, match=rf"is not the file.*SHA-256 {sha256(folder / GRAPH)}"):
        OnnxEngine({"tiny": folder})


def test_a_batch_that_the_graph_refuses(write_encoder: Callable[..., Path]) -> None:
    folder = write_encoder()
    counting_graph(folder / GRAPH)
    engine = OnnxEngine({"tiny": folder})
    batch = collate_ids([np.array([1, 2])])
    wrong = replace(batch, arrays={**batch.arrays, "attention_mask": np.ones((1, 2), np.float32)})
    with pytest.raises(EngineError, match=r"failed on a batch of 1 inputs with tiny"):
        engine.run_now("tiny", wrong)
