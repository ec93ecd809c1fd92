"""Encoder halves, byte and character models, static tables and experts against their libraries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, StaticEmbedding, Transformer
from tokenizers import Tokenizer

from nestvec_exporters.options import Overrides
from nestvec_exporters.verify.references import open_expert, open_references
from nestvec_schemas.errors import CheckpointUnsupported, VerificationFailed

MAX = Overrides(pooling="max")


@pytest.mark.parametrize("name", ["byt5", "canine"])
def test_models_without_a_vocabulary(name: str, tmp_path: Path, export_tiny: Any) -> None:
    import transformers

    if name == "byt5":
        sizes = {"vocab_size": 384, "d_model": 32, "num_layers": 1, "num_heads": 4, "d_kv": 8, "d_ff": 64}
        transformers.T5EncoderModel(transformers.T5Config(**sizes)).save_pretrained(tmp_path / name)
        transformers.ByT5Tokenizer().save_pretrained(tmp_path / name)
    else:
        sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
        few = {"max_position_embeddings": 128, "num_hash_buckets": 128, "local_transformer_stride": 32}
        config = transformers.CanineConfig(**sizes, **few, initializer_range=0.3)
        transformers.CanineModel(config).save_pretrained(tmp_path / name)
    export = export_tiny(tmp_path / name, max_tokens=64)
    verification = export.verify()
    assert "(Pooling)" in verification.reference
    assert min(verification.groups.values()) >= 0.9999
    with pytest.raises(VerificationFailed, match="transformers"):
        export.verify(replace(export.options, overrides=MAX), level="quick")


def test_static_embeddings_and_their_prompts(write_tiny: Any, export_tiny: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer.from_file(str(write_tiny("Bert") / "tokenizer.json"))
    prompts = {"query": "find: ", "document": "text: "}
    model = SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_dim=24)], device="cpu", prompts=prompts
    )
    model.save(str(tmp_path / "static"), create_model_card=False)
    export = export_tiny(tmp_path / "static")
    verification = export.verify()
    assert verification.reference.endswith("(StaticEmbedding)")
    assert min(verification.groups.values()) >= 0.9999
    broken = export.copy(tmp_path / "lost")
    broken.edit_manifest(prompts={"query": "find: "})
    with pytest.raises(CheckpointUnsupported, match="prompts that the export lost: document"):
        broken.verify(level="quick")
    swapped = tmp_path / "static" / "model.safetensors"
    rows = load_file(swapped)
    save_file({name: np.roll(table, 1, axis=0) for name, table in rows.items()}, swapped)
    with pytest.raises(VerificationFailed, match="StaticEmbedding"):
        export.verify(level="quick")


def test_model2vec_weights_and_rows(write_tiny: Any, export_tiny: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model2vec"
    folder.mkdir()
    tokenizer = write_tiny("Bert") / "tokenizer.json"
    count = Tokenizer.from_file(str(tokenizer)).get_vocab_size()
    generator = np.random.default_rng(0)
    tensors = {
        "embeddings": generator.normal(size=(50, 16)).astype(np.float32),
        "weights": generator.uniform(0.1, 1, count).astype(np.float32),
        "mapping": generator.integers(0, 50, count),
    }
    save_file(tensors, folder / "model.safetensors")
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    (folder / "config.json").write_text('{"model_type": "model2vec", "normalize": true}')
    export = export_tiny(folder)
    verification = export.verify()
    assert "Model2Vec" in verification.reference
    assert min(verification.groups.values()) >= 0.9999
    save_file({**tensors, "weights": np.ones(count, np.float32)}, folder / "model.safetensors")
    with pytest.raises(VerificationFailed, match="Model2Vec"):
        export.verify(level="quick")


def _tuned(base: Path, folder: Path, noise: float, **settings: Any) -> Path:
    model = SentenceTransformer(
        modules=[Transformer(str(base)), Pooling(32), Normalize()], device="cpu", **settings
    )
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    model.save(str(folder), create_model_card=False)
    return folder


def test_an_expert_is_compared_with_its_own_checkpoint(
    write_tiny: Any, export_tiny: Any, tmp_path: Path
) -> None:
    base = write_tiny("Bert")
    own, other = _tuned(base, tmp_path / "own", 0.0), _tuned(base, tmp_path / "other", 0.05)
    export = export_tiny(own, experts={"other": str(other)})
    assert export.manifest.verification.sentences > 24
    export.graph("other").write_bytes(export.graph().read_bytes())
    with pytest.raises(VerificationFailed, match="SentenceTransformer"):
        _verify_experts(export, other)


def _verify_experts(export: Any, expert: Path) -> None:
    from nestvec_exporters.checkpoints.checkpoint import read_checkpoint
    from nestvec_exporters.verify.encoder import verify_encoder
    from nestvec_exporters.verify.exported import Exported
    from nestvec_exporters.verify.graph_encoder import open_graphs_of

    references = open_references(export.checkpoint, export.loaded, export.options)
    references["other"] = open_expert(read_checkpoint(str(expert)), export.loaded, export.options)
    exported = Exported(export.folder, export.manifest)
    verify_encoder(exported, references, open_graphs_of(export.loaded), "quick")


def test_an_experts_own_prompts_are_not_dropped(write_tiny: Any, export_tiny: Any, tmp_path: Path) -> None:
    base = write_tiny("Bert")
    own = _tuned(base, tmp_path / "own", 0.0)
    other = _tuned(base, tmp_path / "other", 0.05, prompts={"query": "find: "})
    with pytest.raises(CheckpointUnsupported, match=r"the expert other has other prompts .*: query"):
        export_tiny(own, experts={"other": str(other)})


def test_word_vectors_have_no_independent_reference(export_tiny: Any, tmp_path: Path) -> None:
    words = ["the", "of", "heat", "flow", "shock", "wave", "file", "rows", "from", "a", "in"]
    generator = np.random.default_rng(0)
    lines = [f"{word} {' '.join(map(str, generator.normal(size=8).round(4)))}" for word in words]
    (tmp_path / "words.txt").write_text("\n".join(lines) + "\n")
    verification = export_tiny(tmp_path / "words.txt").verify()
    assert verification.reference is None
    assert set(verification.groups) == {"texts", "batches"}
