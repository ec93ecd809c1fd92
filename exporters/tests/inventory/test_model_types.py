"""What transformers itself writes for the model types that are exported is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import CONFIG_MAPPING

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.kinds import DECODERS, DUAL_ENCODERS, ENCODER_DECODERS, VISION_LANGUAGE
from nestvec_exporters.inventory.context import InventoryContext
from nestvec_exporters.inventory.rules.weights import weight_rule
from nestvec_exporters.inventory.take import take_inventory
from nestvec_exporters.options import ExportOptions, Overrides

ENCODERS = [
    "albert",
    "bert",
    "camembert",
    "deberta-v2",
    "distilbert",
    "electra",
    "esm",
    "eurobert",
    "gte",
    "jina_embeddings_v3",
    "modernbert",
    "mpnet",
    "nomic_bert",
    "roberta",
    "t5",
    "xlm-roberta",
    "vit",
    "dinov2",
    "convnext",
    "swin",
    "resnet",
    "efficientnet",
]
TYPES = sorted(
    name
    for name in {*ENCODERS, *DECODERS, *DUAL_ENCODERS, *ENCODER_DECODERS, *VISION_LANGUAGE}
    if name in CONFIG_MAPPING and name != "vision-text-dual-encoder"
)


def options(folder: Path) -> ExportOptions:
    return ExportOptions(
        checkpoint=str(folder), models=Path("models"), name="tiny", overrides=Overrides(pooling="mean")
    )


@pytest.mark.parametrize("model_type", TYPES)
def test_a_default_configuration_passes(model_type: str, tmp_path: Path) -> None:
    CONFIG_MAPPING[model_type]().save_pretrained(tmp_path)
    declarations = take_inventory(tmp_path, "sentence", options(tmp_path))
    assert [item.name for item in declarations if item.outcome == "refused"] == []
    assert "config.json:model_type" in {item.name for item in declarations}


@pytest.mark.parametrize(
    ("name", "kind", "outcome"),
    [
        ("linear.weight", "late", "honoured"),
        ("linear.weight", "sentence", "refused"),
        ("lm_head.weight", "decoder", "irrelevant"),
        ("h.0.attn.bias", "decoder", "irrelevant"),
        ("score.weight", "decoder", "refused"),
        ("decoder.block.0.layer.0.SelfAttention.q.weight", "sentence", "irrelevant"),
        ("classifier.weight", "vision", "irrelevant"),
        ("classifier.weight", "sentence", "refused"),
        ("latent_attention_model.latents", "decoder", "honoured"),
        ("embeddings.projection.weight", "sentence", "refused"),
    ],
)
def test_a_weight_that_the_model_does_not_take(name: str, kind: str, outcome: str, tmp_path: Path) -> None:
    context = InventoryContext(CheckpointFiles(tmp_path), kind, options(tmp_path))
    assert weight_rule(name, context).judge("model.safetensors", name, "a weight").outcome == outcome


def test_with_modules_a_projection_beside_them_is_refused(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text("[]")
    context = InventoryContext(CheckpointFiles(tmp_path), "late", options(tmp_path))
    assert weight_rule("linear.weight", context).judge("f", "linear.weight", "a weight").outcome == "refused"
