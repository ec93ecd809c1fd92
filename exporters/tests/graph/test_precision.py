from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_exporters.graph.precision import convert_fp16
from nestvec_exporters.graph.quantise.dynamic import fuse, quantise_dynamic


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
        quantise_dynamic(traced, tmp_path / "int8.onnx", heads=4, hidden=32)
    model = onnx.load(tmp_path / "int8.onnx")
    scales = [list(one.dims) for one in model.graph.initializer if one.name.endswith("_scale")]
    assert [96] in scales  # the query, key and value matrices of 32 columns each
    assert [64] in scales


def test_halves_are_joined_by_casts_only_where_the_transformer_ends(traced: Path, tmp_path: Path) -> None:
    with quiet():
        convert_fp16(traced, tmp_path / "fp16.onnx")
    model = onnx.load(tmp_path / "fp16.onnx")
    onnx.checker.check_model(model, full_check=True)
    weights = {one.data_type for one in model.graph.initializer if len(one.dims) == 2}
    assert weights == {TensorProto.FLOAT16}
    makers = {name: node for node in model.graph.node for name in node.output}
    tail = [
        node for node in model.graph.node if node.name.startswith("/") and "/transformer/" not in node.name
    ]
    assert {"ReduceSum", "Div"} <= {node.op_type for node in tail}
    narrowed = [
        name for node in tail for name in node.input if _is_cast_to(makers.get(name), TensorProto.FLOAT16)
    ]
    assert narrowed == []
    assert not _is_cast_to(makers["sentence_embedding"], TensorProto.FLOAT)


def _is_cast_to(node: onnx.NodeProto | None, kind: int) -> bool:
    return node is not None and node.op_type == "Cast" and node.attribute[0].i == kind
