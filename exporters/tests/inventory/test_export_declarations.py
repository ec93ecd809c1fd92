"""Exports whose checkpoints declare what an export must honour, or weights that no part of it takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nestvec_exporters import ExportOptions, Overrides, export
from nestvec_exporters.architectures import explain_checkpoint, load_with_inventory
from nestvec_exporters.checkpoints.checkpoint import read_checkpoint
from nestvec_exporters.inventory.lengths import TRUNCATED, with_truncation
from nestvec_schemas.errors import CheckpointUnsupported

Write = Callable[..., Path]


def options(folder: Path, **more: Any) -> ExportOptions:
    return ExportOptions(
        checkpoint=str(folder), models=folder.parent / "models", name="tiny", verify="quick", **more
    )


def loaded(folder: Path, **more: Any) -> Any:
    chosen = options(folder, **more)
    return load_with_inventory(read_checkpoint(str(folder), chosen), chosen)


def set_keys(folder: Path, file: str, **keys: Any) -> None:
    path = folder / file
    content = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    path.write_text(json.dumps({**content, **keys}), "utf-8")


def add_weights(folder: Path, *names: str) -> None:
    path = folder / "model.safetensors"
    save_file({**load_file(path), **{name: torch.ones(2, 2) for name in names}}, path, {"format": "pt"})


def remove_weights(folder: Path, ending: str) -> None:
    path = folder / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(path).items() if not name.endswith(ending)}
    save_file(kept, path, {"format": "pt"})


@pytest.mark.parametrize(
    "name",
    ["linear.weight", "score.weight", "sparse_linear.weight", "colbert_linear.weight", "classifier.bias"],
)
def test_a_weight_that_no_part_takes_is_refused_by_name(write_checkpoint: Write, name: str) -> None:
    folder = write_checkpoint("Bert")
    add_weights(folder, name)
    with pytest.raises(CheckpointUnsupported, match=f"model.safetensors:{name}: no part of the model"):
        loaded(folder)
    _, declarations = loaded(folder, ignore=(f"model.safetensors:{name}",))
    assert [item.outcome for item in declarations if item.key == name] == ["ignored"]


def test_heads_of_language_models_are_irrelevant(write_checkpoint: Write) -> None:
    folder = write_checkpoint("Bert")
    add_weights(folder, "cls.predictions.bias", "cls.predictions.decoder.weight", "embeddings.position_ids")
    _, declarations = loaded(folder)
    weights = {
        item.key: (item.outcome, item.value) for item in declarations if item.file == "model.safetensors"
    }
    assert weights["cls.*"] == ("irrelevant", "2 weights")


def test_a_missing_weight_is_refused(write_checkpoint: Write) -> None:
    folder = write_checkpoint("Bert")
    remove_weights(folder, "layer.1.output.dense.weight")
    with pytest.raises(CheckpointUnsupported, match=r"layer\.1\.output\.dense\.weight"):
        loaded(folder)


def test_a_missing_pooler_does_not_matter(write_checkpoint: Write) -> None:
    folder = write_checkpoint("Bert")
    remove_weights(folder, "pooler.dense.weight")
    assert loaded(folder)[0].dim == 32


def test_a_reranker_saved_as_a_language_model_is_no_encoder(write_checkpoint: Write) -> None:
    folder = write_checkpoint("Qwen3", head="ForCausalLM", num_key_value_heads=2, head_dim=8)
    with pytest.raises(CheckpointUnsupported, match=r"Qwen3ForCausalLM has a head.*--pooling lasttoken"):
        loaded(folder)
    assert loaded(folder, overrides=Overrides(pooling="lasttoken"))[0].dim == 32


def test_a_tokenizer_that_cuts_on_the_left_is_honoured(write_checkpoint: Write) -> None:
    folder = write_checkpoint("Bert")
    set_keys(folder, "tokenizer_config.json", truncation_side="left")
    manifest = export(options(folder))
    assert manifest.towers["text"].truncation_side == "left"
    assert manifest.verification.cosine_min > 0.9999
    assert manifest.declarations["tokenizer_config.json"]["truncation_side"].startswith("honoured: ")


def test_a_length_that_is_not_reached_is_stated(sentence_bert: Write) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    folder = sentence_bert(Pooling(32), max_seq_length=100)
    encoder, declarations = loaded(folder)
    stated = [
        item
        for item in with_truncation(declarations, encoder.specs, options(folder))
        if TRUNCATED in item.reason
    ]
    assert [item.key for item in stated] in (["max_seq_length"], ["model_max_length"])
    assert "64 of 100 tokens" in stated[0].reason


def test_explain_lists_refused_declarations_and_weights(write_checkpoint: Write) -> None:
    folder = write_checkpoint("Bert")
    add_weights(folder, "linear.weight")
    outcomes = {item.name: item.outcome for item in explain_checkpoint(options(folder))}
    assert outcomes["model.safetensors:linear.weight"] == "refused"
    assert outcomes["config.json:hidden_size"] == "honoured"
    set_keys(folder, "config.json", use_gated_mlp=True)
    outcomes = {item.name: item.outcome for item in explain_checkpoint(options(folder))}
    assert outcomes["config.json:use_gated_mlp"] == "refused"
    assert not (folder.parent / "models").exists()


def test_a_template_that_is_ignored_leaves_texts_plain(write_checkpoint: Write) -> None:
    folder = write_checkpoint("Qwen3", num_key_value_heads=2, head_dim=8)
    (folder / "chat_template.jinja").write_text("{% for m in messages %}user {{ m.content }}{% endfor %}")
    with pytest.raises(CheckpointUnsupported, match=r"chat_template\.jinja.*writes each text as a message"):
        export(options(folder))
    manifest = export(options(folder, ignore=("chat_template.jinja",)))
    assert manifest.verification.cosine_min > 0.9999
    assert manifest.declarations["chat_template.jinja"][""].startswith("ignored: ")
