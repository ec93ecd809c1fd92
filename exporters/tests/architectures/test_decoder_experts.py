"""Decoders with mixtures of experts, and Llama with attention to both sides."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from encoder_vectors import encoder_vectors
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer

from nestvec_exporters import ExportOptions, export
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.vectors import cosines

Write = Callable[..., Path]

TOKENS = 64
TEXTS = ["x", "a b", "heat flow in shock waves", "the flow of heat through a plate", "Zebra crossing " * 40]
SHAPE = {"num_key_value_heads": 2, "bos_token_id": 2, "eos_token_id": 3}
MIXTURES: dict[str, dict[str, Any]] = {
    "Qwen3Moe": {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 8},
    "Mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "Olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "GptOss": {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 8, "sliding_window": 16},
}


@pytest.mark.parametrize("kind", MIXTURES)
def test_each_token_chooses_its_experts(kind: str, write_checkpoint: Write, tmp_path: Path) -> None:
    plain = write_checkpoint(kind, side="left", **{**SHAPE, **MIXTURES[kind]})
    modules = [Transformer(str(plain), max_seq_length=TOKENS), Pooling(32, pooling_mode="lasttoken")]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path / "sentence"))
    export(ExportOptions(str(tmp_path / "sentence"), tmp_path / "models", "tiny", verify="quick"))
    own = SentenceTransformer(str(tmp_path / "sentence"), device="cpu")
    served = encoder_vectors(tmp_path / "models" / "tiny", TEXTS, TOKENS)
    assert cosines(served, own.encode(TEXTS, batch_size=1)).min() > 0.9999


def test_llama_to_both_sides_as_nvidia_publishes_it(write_checkpoint: Write, tmp_path: Path) -> None:
    plain = write_checkpoint("Llama", **SHAPE)
    transformer = Transformer(str(plain), max_seq_length=TOKENS)
    own = SentenceTransformer(
        modules=[transformer, Pooling(32, pooling_mode="mean"), Normalize()], device="cpu"
    )
    own.save(str(tmp_path / "sentence"))
    path = tmp_path / "sentence" / "config.json"
    code = "llama_bidirectional_model.LlamaBidirectional"
    published = {
        "model_type": "llama_bidirec",
        "architectures": ["LlamaBidirectionalModel"],
        "auto_map": {"AutoConfig": f"{code}Config", "AutoModel": f"{code}Model"},
        "pooling": "avg",
        "temperature": 0.02,
    }
    path.write_text(json.dumps({**json.loads(path.read_text()), **published}))
    causal = own.encode(TEXTS)
    transformer.model.config.is_causal = False
    options = ExportOptions(str(tmp_path / "sentence"), tmp_path / "models", "tiny", verify="quick")
    with pytest.raises(CheckpointUnsupported, match=r"own code.*LlamaBidirectionalModel"):
        # Code of this name in the folder itself could compute anything.
        export(options)
    manifest = export(replace(options, ignore=("config.json:auto_map",)))
    assert manifest.declarations["config.json"]["auto_map"].startswith("ignored")
    # The library ran what nestvec wrote: it cannot tell that the code computes the same.
    assert str(manifest.verification.reference).endswith("as nestvec rewrote it for transformers")
    served = encoder_vectors(tmp_path / "models" / "tiny", TEXTS, TOKENS)
    assert cosines(served, own.encode(TEXTS)).min() > 0.9999
    assert cosines(served, causal).min() < 0.99
