"""Heads in a graph give what their maps give, and leave the graph's own vectors alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from nestvec_exporters.bridge.heads import Head, read_heads, set_heads
from nestvec_exporters.graph.tensors import OUTPUT
from nestvec_exporters.space_maps.mapping import BridgeMap, HiddenLayer
from nestvec_schemas.towers import EXIT_INPUT
from nestvec_schemas.vectors import Vectors, normalise

DIM = 6


def _normal(*shape: int) -> Vectors:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def _graph(*, exits: bool = False) -> onnx.ModelProto:
    """One matrix: (batch, 4) to (batch, 6)."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])]
    nodes = [helper.make_node("MatMul", ["x", "w"], [OUTPUT])]
    if exits:
        inputs.append(helper.make_tensor_value_info(EXIT_INPUT, TensorProto.INT64, ["batch", 1]))
    graph = helper.make_graph(
        nodes,
        "g",
        inputs,
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", DIM])],
        [numpy_helper.from_array(_normal(4, DIM), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _map(dim: int, *, hidden: int = 0) -> BridgeMap:
    layer = HiddenLayer(_normal(DIM, hidden), _normal(hidden), _normal(hidden, dim)) if hidden else None
    return BridgeMap(_normal(DIM, dim), _normal(dim), layer)


def _run(model: onnx.ModelProto, exits: list[int] | None) -> Vectors:
    onnx.checker.check_model(model)
    inputs = {"x": _normal(3, 4)}
    if exits is not None:
        inputs[EXIT_INPUT] = np.array(exits, np.int64)[:, None]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    output: Vectors = session.run([OUTPUT], inputs)[0]
    return output


@pytest.mark.parametrize("dim", [4, DIM, 9])
@pytest.mark.parametrize("hidden", [0, 5])
def test_each_row_has_the_vector_of_its_exit(dim: int, hidden: int) -> None:
    model, mapping = _graph(), _map(dim, hidden=hidden)
    own = _run(model, None)
    set_heads(model, {"old": Head(7, mapping)}, own_dim=DIM, has_own_exits=False)
    rows = _run(model, [0, 7, 6])
    assert rows.shape == (3, max(dim, DIM))
    np.testing.assert_array_equal(rows[[0, 2], :DIM], own[[0, 2]])
    np.testing.assert_allclose(rows[1, :dim], mapping(own)[1], atol=1e-6)
    assert not rows[[0, 2], DIM:].any()
    assert not rows[1, dim:].any()


def test_a_map_is_of_vectors_of_length_1() -> None:
    """A graph may give longer ones; a bias and a hidden layer depend on the length."""
    model, mapping = _graph(), _map(9, hidden=5)
    own = _run(model, None)
    set_heads(model, {"old": Head(7, mapping)}, own_dim=DIM, has_own_exits=False, normalised=False)
    rows = _run(model, [0, 7, 7])
    np.testing.assert_array_equal(rows[0, :DIM], own[0])
    np.testing.assert_allclose(rows[1:], mapping(normalise(own))[1:], atol=1e-6)


def test_several_heads_share_a_graph_and_are_read_back() -> None:
    model, heads = _graph(exits=True), {"a": Head(7, _map(3)), "b.c": Head(8, _map(9, hidden=2))}
    own = _run(_graph(), None)
    set_heads(model, heads, own_dim=DIM, has_own_exits=True)
    rows = _run(model, [7, 8, 0])
    np.testing.assert_allclose(rows[0, :3], heads["a"].mapping(own)[0], atol=1e-6)
    np.testing.assert_allclose(rows[1, :9], heads["b.c"].mapping(own)[1], atol=1e-6)
    read = read_heads(model)
    assert {name: head.exit for name, head in read.items()} == {"a": 7, "b.c": 8}
    np.testing.assert_array_equal(read["b.c"].mapping(own), heads["b.c"].mapping(own))
    assert read["a"].mapping.hidden is None


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("exits", [False, True])
def test_a_graph_without_heads_is_what_it_was(exits: bool, normalised: bool) -> None:
    model, heads = _graph(exits=exits), {"old": Head(7, _map(9, hidden=2))}
    set_heads(model, heads, own_dim=DIM, has_own_exits=exits, normalised=normalised)
    set_heads(model, {}, own_dim=DIM, has_own_exits=exits)
    assert model.SerializeToString() == _graph(exits=exits).SerializeToString()


@pytest.mark.parametrize(("exits", "maps"), [([0, 6, 0], 0), ([0, 7, 0], 1), ([8, 8, 8], 1), ([7, 8, 0], 2)])
def test_a_batch_computes_the_maps_of_its_rows_alone(exits: list[int], maps: int, tmp_path: Path) -> None:
    model = _graph()
    set_heads(model, {"a": Head(7, _map(3)), "b": Head(8, _map(9))}, own_dim=DIM, has_own_exits=False)
    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    session.run([OUTPUT], {"x": _normal(3, 4), EXIT_INPUT: np.array(exits, np.int64)[:, None]})
    events = json.loads(Path(session.end_profiling()).read_text())
    products = [event for event in events if event.get("args", {}).get("op_name") == "MatMul"]
    assert len(products) == 1 + maps
