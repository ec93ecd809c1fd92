"""Decoders whose layers see a window of tokens, on texts many times longer than it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from encoder_vectors import encoder_vectors
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense, Normalize, Pooling, Transformer

from nestvec_exporters import ExportOptions, export
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.vectors import cosines

Write = Callable[..., Path]

TOKENS = 160
TEXTS = ["x", "heat flow in shock waves", "the flow of heat through a plate, " * 9, "Zebra crossing " * 40]
GROUPED = {"num_key_value_heads": 2, "head_dim": 8, "bos_token_id": 2, "eos_token_id": 3}
WINDOWS: dict[str, dict[str, Any]] = {
    "Mistral": {"num_key_value_heads": 2},
    "Qwen2": {"num_key_value_heads": 2, "use_sliding_window": True, "max_window_layers": 1},
    "Phi3": {"num_key_value_heads": 2},
    "Starcoder2": {"num_key_value_heads": 2},
    "Gemma2": GROUPED,
    "Gemma3Text": GROUPED,
}
PROMPTS = {"query": "task: search result | query: ", "document": "title: none | text: "}


def exported(checkpoint: Path, models: Path, **options: Any) -> tuple[Manifest, Path]:
    return export(ExportOptions(str(checkpoint), models, "tiny", verify="quick", **options)), models / "tiny"


def saved(folder: Path, transformer: Path, *after: torch.nn.Module, **settings: Any) -> Path:
    modules = [Transformer(str(transformer), max_seq_length=TOKENS), *after]
    SentenceTransformer(modules=modules, device="cpu", **settings).save(str(folder))
    return folder


@pytest.mark.parametrize("kind", WINDOWS)
def test_a_window_shorter_than_the_text(kind: str, write_checkpoint: Write, tmp_path: Path) -> None:
    fields = {**WINDOWS[kind], "sliding_window": 8, "max_position_embeddings": TOKENS}
    checkpoint = saved(
        tmp_path / "sentence",
        write_checkpoint(kind, side="left", **fields),
        Pooling(32, pooling_mode="lasttoken"),
    )
    manifest, folder = exported(checkpoint, tmp_path / "models")
    assert manifest.towers["text"].max_tokens == TOKENS
    own = SentenceTransformer(str(checkpoint), device="cpu")
    served = encoder_vectors(folder, TEXTS, TOKENS)
    assert cosines(served, own.encode(TEXTS)).min() > 0.9999
    module: Any = own[0]
    module.auto_model.config.sliding_window = 10 * TOKENS
    for layer in module.auto_model.layers:
        layer.self_attn.sliding_window = 10 * TOKENS
    assert cosines(served, own.encode(TEXTS))[-1] < 0.999  # the window is part of the vector


@pytest.mark.parametrize(
    "precision", ["fp32", pytest.param("fp16", marks=pytest.mark.nightly), "int8-dynamic"]
)
def test_embedding_gemma(precision: str, write_checkpoint: Write, tmp_path: Path) -> None:
    """Attention to both sides, in windows that its configuration halves; two projections; prompts."""
    transformer = write_checkpoint(
        "Gemma3Text",
        **{**GROUPED, "num_key_value_heads": 1, "num_hidden_layers": 6, "sliding_window": 16},
        use_bidirectional_attention=True,
        max_position_embeddings=TOKENS,
    )
    identity = torch.nn.Identity()
    checkpoint = saved(
        tmp_path / "sentence",
        transformer,
        Pooling(32, pooling_mode="mean"),
        Dense(32, 96, bias=False, activation_function=identity),
        Dense(96, 32, bias=False, activation_function=identity),
        Normalize(),
        prompts=PROMPTS,
    )
    manifest, folder = exported(checkpoint, tmp_path / "models", precision=precision)
    assert (manifest.dim, manifest.normalised, dict(manifest.prompts)) == (32, True, PROMPTS)
    own = SentenceTransformer(str(checkpoint), device="cpu")
    floor = {"fp32": 0.9999, "fp16": 0.999, "int8-dynamic": 0.98}[precision]
    for name, encode in (("query", own.encode_query), ("document", own.encode_document)):
        prompted = [f"{PROMPTS[name]}{text}" for text in TEXTS]
        assert cosines(encoder_vectors(folder, prompted, TOKENS), encode(TEXTS)).min() > floor
