from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from nestvec_exporters.precision import fuse, quantise
from nestvec_exporters.quiet import quiet


def test_attention_is_fused(traced: Path, tmp_path: Path) -> None:
    fused = onnx.load(fuse(traced, tmp_path / "fused.onnx", heads=4, hidden=32))
    assert sum(node.op_type == "Attention" for node in fused.graph.node) == 2


def test_a_graph_without_attention_stays_as_it_is(tmp_path: Path) -> None:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "plain", value[:1], value[1:])
    path = tmp_path / "plain.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    assert fuse(path, tmp_path / "fused.onnx", heads=4, hidden=32) == path


def test_weights_have_a_scale_per_channel(traced: Path, tmp_path: Path) -> None:
    with quiet():
        quantise(traced, tmp_path / "int8.onnx", heads=4, hidden=32)
    model = onnx.load(tmp_path / "int8.onnx")
    scales = [list(one.dims) for one in model.graph.initializer if one.name.endswith("_scale")]
    assert [96] in scales  # the query, key and value matrices of 32 columns each
    assert [64] in scales
