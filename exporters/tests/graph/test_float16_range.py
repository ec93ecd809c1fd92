"""An fp16 export is refused where the numbers inside are too large for it, for every architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from nestvec_exporters import ExportOptions, Overrides, export
from nestvec_exporters.graph.float16_range import check_float16_range
from nestvec_exporters.graph.precision import half_nodes
from nestvec_exporters.graph.tower import TowerModel
from nestvec_exporters.graph.trace import trace_tower
from nestvec_schemas.errors import CheckpointUnsupported

Write = Callable[..., Path]

T5 = {
    "head": "EncoderModel",
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
    "is_encoder_decoder": False,
    **dict.fromkeys(("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")),
    **dict.fromkeys(("max_position_embeddings", "initializer_range")),
}
KINDS: dict[str, tuple[str, dict[str, Any], Overrides]] = {
    "encoder": ("Bert", {}, Overrides()),
    "encoder with rotary positions": ("ModernBert", {}, Overrides()),
    "encoder half": ("T5", T5, Overrides()),
    "decoder": ("Qwen3", {"num_key_value_heads": 2, "head_dim": 8}, Overrides()),
    "reranker": ("XLMRoberta", {"head": "ForSequenceClassification", "num_labels": 1}, Overrides()),
    "sparse": ("Bert", {"head": "ForMaskedLM"}, Overrides(pooling="splade")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_weights_times_50_are_refused(kind: str, write_checkpoint: Write, tmp_path: Path) -> None:
    name, fields, overrides = KINDS[kind]
    folder = write_checkpoint(name, **fields)
    path = folder / "model.safetensors"
    weights = {key: tensor * 50 for key, tensor in load_file(path).items()}
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(CheckpointUnsupported, match=r"float16 holds, 65,504: .*fp32 or int8"):
        export(ExportOptions(str(folder), tmp_path, "large", precision="fp16", overrides=overrides))
    assert not (tmp_path / "large").exists()


def test_scores_of_attention_are_measured_too(
    bert: Path, text_tower: Callable[[Path], TowerModel], tmp_path: Path
) -> None:
    """No module gives them: they are the product of what two of them give."""
    tower = text_tower(bert)
    graph = tmp_path / "graph.onnx"
    trace_tower(tower, graph)
    check_float16_range(tower, graph, half_nodes(graph))
    attention = tower.source.transformer.encoder.layer[0].attention.self  # type: ignore[attr-defined]
    for linear in (attention.query, attention.key):
        linear.weight.data *= 300
    trace_tower(tower, graph)
    with pytest.raises(CheckpointUnsupported, match="float16 holds"):
        check_float16_range(tower, graph, half_nodes(graph))
    for linear in (attention.query, attention.key):
        linear.weight.data /= 300


def test_masks_are_not_numbers_that_are_too_large(bert: Path, tmp_path: Path) -> None:
    manifest = export(ExportOptions(str(bert), tmp_path, "half", precision="fp16", verify="quick"))
    assert manifest.precision == "fp16"
