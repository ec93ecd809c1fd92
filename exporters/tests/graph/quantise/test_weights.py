from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest

from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_exporters.graph.quantise import weights
from nestvec_exporters.graph.quantise.calibration import Calibration
from nestvec_exporters.graph.quantise.weights import MIN_MEAN_COSINES, quantise_weights
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_schemas.errors import VerificationFailed
from nestvec_schemas.preprocessing.collate import Arrays, pad_rows
from nestvec_schemas.vectors import cosines


def texts(count: int, seed: int) -> list[Arrays]:
    """Texts of random ids."""
    random = np.random.default_rng(seed)
    return [{"input_ids": random.integers(4, 90, length)} for length in random.integers(3, 60, count)]


CALIBRATION = Calibration("random", (), texts(16, 1))


@pytest.mark.parametrize("bits", [8, 4])
def test_both_engines_read_the_file_and_are_near(traced: Path, tmp_path: Path, bits: Literal[8, 4]) -> None:
    path = tmp_path / "weights.onnx"
    with quiet():
        summary = quantise_weights(traced, path, bits, CALIBRATION)
    operators = [node for node in onnx.load(path).graph.node if node.op_type == "MatMulNBits"]
    sizes = {attribute.i for node in operators for attribute in node.attribute if attribute.name == "bits"}
    assert bits in sizes
    assert summary.cosine_mean >= MIN_MEAN_COSINES[bits]
    arrays = pad_rows(texts(16, 2))
    feeds = {name: arrays[name] for name in INPUTS}
    source, quantised = (
        onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).run([OUTPUT], feeds)[0]
        for graph in (traced, path)
    )
    assert cosines(source, quantised).mean() > MIN_MEAN_COSINES[bits] - 0.005
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert cosines(np.array(compiled(feeds)[OUTPUT]), quantised).min() > 0.99


def test_matrices_that_4_bits_change_most_stay_in_8(
    traced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(weights.MIN_MEAN_COSINES, 4, 0.9995)
    with quiet():
        summary = quantise_weights(traced, tmp_path / "mixed.onnx", 4, CALIBRATION)
    assert summary.float_layers
    assert summary.cosine_mean >= 0.9995


def test_what_stays_too_far_is_refused(traced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weights.MIN_MEAN_COSINES, 8, 1.1)
    with quiet(), pytest.raises(VerificationFailed, match=r"8 bits do not reach .*--precision fp32"):
        quantise_weights(traced, tmp_path / "weights.onnx", 8, CALIBRATION)


def test_tables_are_stored_by_row(tmp_path: Path) -> None:
    table = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32) * np.arange(1, 301)[:, None]
    value = onnx.helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["n"])
    output = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, ["n", 8])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Gather", ["table", "ids"], ["out"])],
        "table",
        [value],
        [output],
        [onnx.numpy_helper.from_array(table.astype(np.float32), "table")],
    )
    weights._quantise_tables(graph)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    read = session.run(None, {"ids": np.arange(300)})[0]
    steps = np.abs(table).max(axis=1, keepdims=True) / 127
    assert (np.abs(read - table) <= steps / 2 + 1e-6).all()
    assert "table" not in {tensor.name for tensor in graph.initializer}
