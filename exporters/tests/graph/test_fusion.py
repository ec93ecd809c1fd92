from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_exporters.graph import fusion
from nestvec_exporters.graph.fusion import DOMAIN, FusedGraph, fuse_transformer, pack_sequences
from nestvec_exporters.graph.precision import convert_fp16
from nestvec_exporters.graph.tower import TowerModel
from nestvec_exporters.graph.trace import trace_tower

from .packed_operators import OPERATORS

IDS = np.array([[2, 9, 7, 3], [2, 11, 3, 0], [2, 3, 0, 0]])
BATCH = {"input_ids": IDS, "attention_mask": (IDS != 0).astype(np.int64)}

LAYERS = {"MultiHeadAttention": 2, "SkipLayerNormalization": 4, "BiasGelu": 2}

Trace = Callable[..., tuple[TowerModel, Path]]


@pytest.fixture
def trace(
    write_checkpoint: Callable[..., Path], text_tower: Callable[[Path], TowerModel], tmp_path: Path
) -> Trace:
    """Traces a model of a kind: its tower and graph."""

    def traced(kind: str, exits: tuple[int, ...] = ()) -> tuple[TowerModel, Path]:
        tower, path = text_tower(write_checkpoint(kind)), tmp_path / "traced.onnx"
        with quiet():
            trace_tower(tower, path, exits)
        return tower, path

    return traced


def vectors(graph: Path) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    return session.run(None, BATCH)


@pytest.mark.parametrize(
    ("kind", "operators"),
    [
        (
            "Bert",
            {
                "MultiHeadAttention": 2,
                "SkipLayerNormalization": 4,
                "BiasGelu": 2,
                "EmbedLayerNormalization": 1,
            },
        ),
        ("Roberta", LAYERS),
        ("XLMRoberta", LAYERS),
        (
            "DistilBert",
            {
                "MultiHeadAttention": 2,
                "SkipLayerNormalization": 4,
                "BiasGelu": 2,
                "EmbedLayerNormalization": 1,
            },
        ),
    ],
)
def test_layers_are_fused_and_give_the_same_for_padded_rows(
    trace: Trace, tmp_path: Path, kind: str, operators: Mapping[str, int]
) -> None:
    tower, graph = trace(kind)
    fused = fuse_transformer(tower, graph, tmp_path / "fused.onnx")
    assert dict(fused.operators) == operators
    assert fused.attentions == 2
    np.testing.assert_allclose(vectors(fused.path)[0], vectors(graph)[0], atol=1e-5)


def test_the_projections_can_be_one_matrix(trace: Trace, tmp_path: Path) -> None:
    tower, graph = trace("Bert")
    fused = fuse_transformer(tower, graph, tmp_path / "fused.onnx", "Attention")
    assert fused.operators["Attention"] == fused.attentions == 2
    np.testing.assert_allclose(vectors(fused.path)[0], vectors(graph)[0], atol=1e-5)


def test_without_attention_that_is_recognised_nothing_is_fused(trace: Trace, tmp_path: Path) -> None:
    tower, graph = trace("MPNet")
    assert fuse_transformer(tower, graph, tmp_path / "fused.onnx") == FusedGraph(graph)


def test_a_fusion_that_changes_vectors_is_not_used(
    trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower, graph = trace("Bert")
    optimised = fusion._optimised

    def without_mask(*arguments: object) -> onnx.ModelProto:
        model = optimised(*arguments)  # type: ignore[arg-type]
        for node in model.graph.node:
            if node.op_type == "MultiHeadAttention":
                del node.input[4:]
        return model

    monkeypatch.setattr(fusion, "_optimised", without_mask)
    assert fuse_transformer(tower, graph, tmp_path / "fused.onnx") == FusedGraph(graph)


def test_exits_stay_outputs(trace: Trace, tmp_path: Path) -> None:
    tower, graph = trace("Bert", (1,))
    fused = fuse_transformer(tower, graph, tmp_path / "fused.onnx")
    assert fused.attentions == 2
    for own, other in zip(vectors(graph), vectors(fused.path), strict=True):
        np.testing.assert_allclose(other, own, atol=1e-5)


def test_a_fused_graph_becomes_fp16_with_pooling_in_float32(trace: Trace, tmp_path: Path) -> None:
    tower, graph = trace("Bert")
    fused = fuse_transformer(tower, graph, tmp_path / "fused.onnx")
    with quiet():
        convert_fp16(fused.path, tmp_path / "fp16.onnx")
    model = onnx.load(tmp_path / "fp16.onnx")
    assert Counter(node.op_type for node in model.graph.node if node.domain == DOMAIN) == fused.operators
    wide = {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) == 2}
    assert wide == {TensorProto.FLOAT16}
    own, other = vectors(graph)[0], vectors(tmp_path / "fp16.onnx")[0]
    assert other.dtype == np.float32
    cosines = (own * other).sum(axis=1) / np.linalg.norm(own, axis=1) / np.linalg.norm(other, axis=1)
    assert cosines.min() > 0.9999


def test_packed_layers_lie_between_removing_and_restoring_the_padding(trace: Trace, tmp_path: Path) -> None:
    tower, graph = trace("Bert")
    fused = fuse_transformer(tower, graph, tmp_path / "fused.onnx")
    packed = pack_sequences(fused.path, tmp_path / "packed.onnx")
    assert packed.operators["PackedMultiHeadAttention"] == 2
    assert packed.operators["RemovePadding"] == packed.operators["RestorePadding"] == 1
    assert "MultiHeadAttention" not in packed.operators
    nodes = onnx.load(packed.path).graph.node
    makers = {name: node for node in nodes for name in node.output}
    (remove,) = (node for node in nodes if node.op_type == "RemovePadding")
    (restore,) = (node for node in nodes if node.op_type == "RestorePadding")
    assert makers[remove.input[0]].op_type == "EmbedLayerNormalization"
    assert makers[restore.input[0]].op_type == "SkipLayerNormalization"
    assert restore.input[1] == remove.output[1]
    for node in nodes:
        if node.op_type == "PackedMultiHeadAttention":
            assert list(node.input[4:6]) == list(remove.output[1:3])


def test_packed_layers_give_the_vectors_of_padded_ones(trace: Trace, tmp_path: Path) -> None:
    tower, graph = trace("Bert")
    fused = fuse_transformer(tower, graph, tmp_path / "fused.onnx")
    packed = pack_sequences(fused.path, tmp_path / "packed.onnx")
    evaluator = ReferenceEvaluator(str(packed.path), new_ops=OPERATORS)
    np.testing.assert_allclose(evaluator.run(None, BATCH)[0], vectors(graph)[0], atol=1e-5)


def test_a_graph_without_fused_attention_is_not_packed(trace: Trace, tmp_path: Path) -> None:
    _, graph = trace("MPNet")
    assert pack_sequences(graph, tmp_path / "packed.onnx") == FusedGraph(graph)
