"""Decoders of 2025 and 2026 in each precision, against sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from encoder_vectors import encoder_vectors
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.kinds import identify
from nestvec_schemas.vectors import cosines

Write = Callable[..., Path]

TOKENS = 64
TEXTS = ["x", "a b", "heat flow in shock waves", "the flow of heat through a plate", "Zebra crossing " * 40]
SHAPE = {"num_key_value_heads": 2, "bos_token_id": 2, "eos_token_id": 3}
FLOORS = {"fp32": 0.9999, "fp16": 0.999, "int8-dynamic": 0.95}
# By default 134 million numbers.
PER_LAYER = {"vocab_size_per_layer_input": 200, "hidden_size_per_layer_input": 8}
FAMILIES: dict[str, dict[str, Any]] = {
    "Exaone4": {"sliding_window": 16},
    "Gemma4Text": {**PER_LAYER, "head_dim": 8, "sliding_window": 16},
    "Lfm2": {"full_attn_idxs": [1]},  # the other layers are convolutions
    "Ministral": {"head_dim": 8, "sliding_window": 16},
    "Nemotron": {},
    "Olmo3": {"sliding_window": 16},
    "Qwen3": {"head_dim": 8},
    "SeedOss": {"head_dim": 8},
    "StableLm": {},
}


def encoder(checkpoint: Path, pooling: str) -> SentenceTransformer:
    transformer = Transformer(str(checkpoint), max_seq_length=TOKENS)
    return SentenceTransformer(
        modules=[transformer, Pooling(32, pooling_mode=pooling), Normalize()], device="cpu"
    )


def check(own: SentenceTransformer, tmp_path: Path, precision: str) -> None:
    own.save(str(tmp_path / "sentence"))
    assert identify(tmp_path / "sentence").name == "decoder"
    options = {"precision": precision, "verify": "quick"}
    export(ExportOptions(str(tmp_path / "sentence"), tmp_path / "models", "tiny", **options))  # type: ignore[arg-type]
    served = encoder_vectors(tmp_path / "models" / "tiny", TEXTS, TOKENS)
    assert cosines(served, own.encode(TEXTS)).min() > FLOORS[precision]


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_family_gives_its_own_vectors(kind: str, write_checkpoint: Write, tmp_path: Path) -> None:
    plain = write_checkpoint(kind, side="left", **{**SHAPE, **FAMILIES[kind]})
    check(encoder(plain, "lasttoken"), tmp_path, "fp32")


@pytest.mark.parametrize("precision", ["fp16", "int8-dynamic"])
@pytest.mark.parametrize("kind", ["Lfm2", "Qwen3"])
def test_other_precisions(kind: str, precision: str, write_checkpoint: Write, tmp_path: Path) -> None:
    plain = write_checkpoint(kind, side="left", **{**SHAPE, **FAMILIES[kind]})
    check(encoder(plain, "lasttoken"), tmp_path, precision)


@pytest.mark.parametrize("kind", ["Ministral3", "Qwen2", "Llama"])
def test_attention_to_both_sides_as_the_configuration_says(
    kind: str, write_checkpoint: Write, tmp_path: Path
) -> None:
    plain = write_checkpoint(kind, side="left", **{**SHAPE, "is_causal": False})
    own = encoder(plain, "mean")
    check(own, tmp_path, "fp32")
    both = own.encode(TEXTS)
    module: Any = own[0]
    module.auto_model.config.is_causal = True
    assert cosines(both, own.encode(TEXTS)).min() < 0.99
