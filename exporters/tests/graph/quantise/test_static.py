from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_exporters.graph.quantise.calibration import Calibration
from nestvec_exporters.graph.quantise.lengths import LENGTH_STEP, pad_lengths
from nestvec_exporters.graph.quantise.static import MIN_MEAN_COSINE, quantise_static
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_schemas.errors import VerificationFailed
from nestvec_schemas.manifest import QuantisationSummary
from nestvec_schemas.preprocessing.collate import Array, Arrays, pad_rows
from nestvec_schemas.vectors import cosines

MAX_TOKENS = 60
"""Not a multiple of LENGTH_STEP, and fewer than the tiny encoder's positions."""


def rows(count: int, seed: int) -> list[Arrays]:
    """Texts of random ids."""
    random = np.random.default_rng(seed)
    lengths = random.integers(3, MAX_TOKENS + 1, count)
    return [{"input_ids": random.integers(4, 90, length)} for length in lengths]


TEXTS = rows(24, seed=2)


@pytest.fixture(scope="module")
def quantised(traced: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, QuantisationSummary]:
    """The tiny encoder in int8, with lengths rounded up."""
    path = tmp_path_factory.mktemp("int8") / "int8.onnx"
    with quiet():
        summary = quantise_static(traced, path, Calibration("random", rows(48, 0), rows(32, 1)))
    model = onnx.load(path)
    pad_lengths(model, INPUTS, MAX_TOKENS)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path, summary


@pytest.fixture(scope="module")
def in_onnxruntime(quantised: tuple[Path, QuantisationSummary]) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(quantised[0], providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def in_openvino(quantised: tuple[Path, QuantisationSummary]) -> openvino.CompiledModel:
    return openvino.Core().compile_model(
        str(quantised[0]), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    )


def run_onnxruntime(session: onnxruntime.InferenceSession, texts: list[Arrays]) -> Array:
    arrays = pad_rows(texts)
    return np.asarray(session.run([OUTPUT], {name: arrays[name] for name in INPUTS})[0])


def run_openvino(model: openvino.CompiledModel, texts: list[Arrays]) -> Array:
    arrays = pad_rows(texts)
    return np.array(model({name: arrays[name] for name in INPUTS})[OUTPUT])


def test_weights_are_int8_and_the_output_is_near(
    traced: Path, quantised: tuple[Path, QuantisationSummary], in_onnxruntime: onnxruntime.InferenceSession
) -> None:
    path, summary = quantised
    kinds = {tensor.data_type for tensor in onnx.load(path).graph.initializer if len(tensor.dims) == 2}
    assert onnx.TensorProto.INT8 in kinds
    assert (summary.sample, summary.inputs, summary.held_out) == ("random", 48, 32)
    assert summary.cosine_mean >= MIN_MEAN_COSINE
    source = onnxruntime.InferenceSession(traced, providers=["CPUExecutionProvider"])
    near = cosines(run_onnxruntime(source, TEXTS), run_onnxruntime(in_onnxruntime, TEXTS))
    assert 0.99 < near.mean() < 0.99999


def test_both_engines_read_the_same_file(
    in_onnxruntime: onnxruntime.InferenceSession, in_openvino: openvino.CompiledModel
) -> None:
    near = cosines(run_onnxruntime(in_onnxruntime, TEXTS), run_openvino(in_openvino, TEXTS))
    assert near.min() > 0.99


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=20))
def test_the_batch_changes_no_vector(
    places: list[int], in_onnxruntime: onnxruntime.InferenceSession, in_openvino: openvino.CompiledModel
) -> None:
    batch, alone = [TEXTS[place] for place in places], [TEXTS[places[0]]]
    for together, single in (
        (run_onnxruntime(in_onnxruntime, batch), run_onnxruntime(in_onnxruntime, alone)),
        (run_openvino(in_openvino, batch), run_openvino(in_openvino, alone)),
    ):
        np.testing.assert_allclose(together[0], single[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("tokens", [1, 15, 16, 17, 50, MAX_TOKENS])
def test_lengths_are_rounded_up_within_the_limit(tokens: int) -> None:
    value = onnx.helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["n", "t"])
    output = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.INT64, ["n", "t"])
    length = onnx.helper.make_tensor_value_info("length", onnx.TensorProto.INT64, [2])
    nodes = [
        onnx.helper.make_node("Identity", ["ids"], ["out"]),
        onnx.helper.make_node("Shape", ["ids"], ["length"]),
    ]
    graph = onnx.helper.make_graph(nodes, "plain", [value], [output, length])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    pad_lengths(model, ["ids"], MAX_TOKENS, ["out"])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ids = np.ones((2, tokens), np.int64)
    same, shape = session.run(["out", "length"], {"ids": ids})
    np.testing.assert_array_equal(same, ids)
    assert shape[1] == min(-(-tokens // LENGTH_STEP) * LENGTH_STEP, MAX_TOKENS)


def test_a_graph_that_int8_ruins_is_refused(
    traced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nestvec_exporters.graph.quantise.static.MIN_MEAN_COSINE", 1.1)
    with quiet(), pytest.raises(VerificationFailed, match=r"--calibrate FILE.*int8-weights"):
        quantise_static(traced, tmp_path / "int8.onnx", Calibration("random", rows(16, 0), rows(8, 1)))
    assert not (tmp_path / "int8.onnx").exists()
