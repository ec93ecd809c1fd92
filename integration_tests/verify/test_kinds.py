"""Checkpoints of every kind: what a service gives is what the checkpoint's own library gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_image_models
import tiny_vision_language
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_tokenizers import bert_tokenizer

from nestvec.service.preprocess.tokenizer import EncoderTokenizer
from nestvec.service.verification import open_served
from nestvec_exporters import ExportOptions, export
from nestvec_exporters.options import Overrides
from nestvec_schemas.errors import VerificationFailed
from nestvec_schemas.manifest import Verification

SIZES = {
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "initializer_range": 0.3,
}


def bert(folder: Path, head: str, **fields: Any) -> Path:
    torch.manual_seed(0)
    getattr(transformers, f"Bert{head}")(transformers.BertConfig(**SIZES, **fields)).save_pretrained(folder)
    bert_tokenizer(folder)
    return folder


def reranker(folder: Path) -> Path:
    return bert(folder, "ForSequenceClassification", num_labels=1)


def splade(folder: Path) -> Path:
    return bert(folder, "ForMaskedLM")


def colbert(folder: Path) -> Path:
    """As colbert-ai saves it."""
    bert(folder, "Model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.mask_token = "~"
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["HF_ColBERT"]}))
    weights = {f"bert.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    weights["linear.weight"] = torch.randn(16, 32)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    marks = {"query_token_id": "!", "doc_token_id": "?", "query_maxlen": 12, "doc_maxlen": 30}
    (folder / "artifact.metadata").write_text(json.dumps({**marks, "dim": 16, "similarity": "cosine"}))
    return folder


def clip(folder: Path) -> Path:
    return tiny_image_models.write(tiny_image_models.DUAL["clip"], folder)


def vit(folder: Path) -> Path:
    return tiny_image_models.write(tiny_image_models.VISION["vit"], folder)


def verified(write: Callable[[Path], Path], place: Path, **fields: Any) -> Verification:
    options = ExportOptions(str(write(place / "checkpoint")), place / "models", "tiny", **fields)
    return export(options, open_served=open_served).verification


KINDS: dict[str, tuple[Callable[[Path], Path], Overrides, str]] = {
    "reranker": (reranker, Overrides(), "CrossEncoder"),
    "splade": (splade, Overrides(pooling="splade"), "SparseEncoder"),
    "colbert": (colbert, Overrides(), "MultiVectorEncoder"),
    "clip": (clip, Overrides(query_prompt="find: "), "CLIPModel"),
    "naflex": (
        lambda folder: tiny_image_models.write(tiny_image_models.NAFLEX, folder),
        Overrides(),
        "Siglip2Model",
    ),
    "frames": (vit, Overrides(frames=3), "ViTModel"),
    "messages": (tiny_vision_language.write_llava, Overrides(query_prompt="Find it: "), "LlavaModel"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_service_gives_what_the_library_gives(name: str, tmp_path: Path) -> None:
    write, overrides, library = KINDS[name]
    verification = verified(write, tmp_path, overrides=overrides)
    assert verification.served
    assert library in str(verification.reference)
    assert min(verification.groups.values()) >= 0.9999


def test_a_service_that_swaps_query_and_document_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = EncoderTokenizer.encode_pairs

    def swapped(self: EncoderTokenizer, pairs: Any, *others: Any) -> Any:
        return own(self, [(document, query) for query, document in pairs], *others)

    monkeypatch.setattr(EncoderTokenizer, "encode_pairs", swapped)
    with pytest.raises(VerificationFailed, match=r"CrossEncoder\), pairs"):
        verified(reranker, tmp_path)


def test_a_service_that_ignores_a_cameras_rotation_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lying = SimpleNamespace(exif_transpose=lambda image, **_: image)
    monkeypatch.setattr("nestvec.images.decode.ImageOps", lying)
    with pytest.raises(VerificationFailed, match=r"ViTModel\), images"):
        verified(vit, tmp_path)
