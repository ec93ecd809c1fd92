"""Decoder checkpoints of random weights: the same vectors as transformers gives them, padded or not."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoder_vectors import encoder_vectors
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer
from transformers import AutoModel, AutoTokenizer
from verify_level import VERIFY

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.kinds import identify
from nestvec_exporters.options import Overrides
from nestvec_schemas.errors import CheckpointUnsupported, EncoderError
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.vectors import Vectors, cosines

Write = Callable[..., Path]

TEXTS = ["rows from a file", "x", "heat flow in shock waves, measured twice", "Zebra crossing " * 40]
TOKENS = 64

GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
OLD = {"hidden_size": None, "num_hidden_layers": None, "num_attention_heads": None}
OLD |= {"intermediate_size": None, "max_position_embeddings": None}
OLD |= {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": TOKENS}
CLASSES: dict[str, dict[str, Any]] = {
    "Llama": {"num_key_value_heads": 2},
    "Mistral": {"num_key_value_heads": 2, "sliding_window": 16},
    "Qwen2": {"num_key_value_heads": 2},
    "Qwen3": GROUPED,
    "CodeGen": {**OLD, "n_ctx": TOKENS, "rotary_dim": 8},
    "Gemma": GROUPED,
    "Gemma2": {**GROUPED, "sliding_window": 16},
    "Gemma3Text": {**GROUPED, "sliding_window": 16},
    "GPT2": OLD,
    "GPTNeoX": {},
    "Phi": {},
    "OPT": {"ffn_dim": 64, "word_embed_proj_dim": 32, "intermediate_size": None},
    "Falcon": {"num_kv_heads": 4, "intermediate_size": None},
}
ENDS = {"bos_token_id": 2, "eos_token_id": 3}


def exported(checkpoint: Path, models: Path, **options: Any) -> tuple[Manifest, Path]:
    manifest = export(ExportOptions(str(checkpoint), models, "tiny", **options))
    assert read_manifest(models / "tiny") == manifest
    return manifest, models / "tiny"


def hidden(checkpoint: Path, text: str, *, causal: bool = True) -> torch.Tensor:
    """What transformers gives for one text alone, after each layer: (layers + 1, tokens, dim)."""
    model = AutoModel.from_pretrained(checkpoint, attn_implementation="eager").eval()
    model.config.is_causal = causal
    ids = AutoTokenizer.from_pretrained(checkpoint)(
        text, truncation=True, max_length=TOKENS, return_tensors="pt"
    )["input_ids"]
    assert ids[0, -1] == 3  # the end token, of a text that was cut too
    with torch.no_grad():
        return torch.cat(model(input_ids=ids, output_hidden_states=True).hidden_states)


def pooled(checkpoint: Path, how: Callable[[torch.Tensor], torch.Tensor], *, causal: bool = True) -> Vectors:
    found = [how(hidden(checkpoint, text, causal=causal)) for text in TEXTS]
    return np.asarray(torch.stack(found).numpy(), np.float32)


def last(layers: torch.Tensor) -> torch.Tensor:
    return layers[-1, -1]


BOTH_SIDES = ("Llama", "Qwen3", "Gemma3Text")
"""Tried with attention to both sides, too; ``make nightly`` tries it with all classes."""

CASES = [
    *(pytest.param(kind, True) for kind in CLASSES),
    *(pytest.param(kind, False) for kind in BOTH_SIDES),
    *(pytest.param(kind, False, marks=pytest.mark.nightly) for kind in CLASSES if kind not in BOTH_SIDES),
]


@pytest.mark.parametrize(("kind", "causal"), CASES)
def test_a_class_gives_its_own_vectors(
    kind: str, causal: bool, write_checkpoint: Write, tmp_path: Path
) -> None:
    # Learned positions would count padding on the left.
    side = "right" if kind == "GPT2" else "left"
    checkpoint = write_checkpoint(kind, side=side, **{**CLASSES[kind], **ENDS})
    assert identify(checkpoint).name == "decoder"
    asked = Overrides(pooling="lasttoken" if causal else "mean", bidirectional=not causal)
    manifest, folder = exported(checkpoint, tmp_path / "models", overrides=asked, verify=VERIFY)
    assert manifest.towers["text"].pooling == asked.pooling
    assert (manifest.dim, manifest.layers, manifest.towers["text"].max_tokens) == (32, (2,), TOKENS)
    found = encoder_vectors(folder, TEXTS, TOKENS)
    expected = pooled(checkpoint, last if causal else lambda layers: layers[-1].mean(dim=0), causal=causal)
    assert cosines(found, expected).min() > 0.9999
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
    other = pooled(checkpoint, last if causal else lambda layers: layers[-1].mean(dim=0), causal=not causal)
    assert cosines(found, other)[0] < 0.999 or causal


def test_positions_that_count_padding_are_refused(write_checkpoint: Write, tmp_path: Path) -> None:
    checkpoint = write_checkpoint("GPT2", side="left", **{**OLD, **ENDS})
    with pytest.raises(CheckpointUnsupported, match=r"GPT2Model counts padding on the left.*padding_side"):
        exported(checkpoint, tmp_path / "models", overrides=Overrides(pooling="lasttoken"))


def test_qwen3_embeddings_layout(write_checkpoint: Write, tmp_path: Path) -> None:
    plain = write_checkpoint("Qwen3", side="left", **{**GROUPED, **ENDS})
    modules = [Transformer(str(plain)), Pooling(32, pooling_mode="lasttoken"), Normalize()]
    prompts = {"query": "Instruct: find\nQuery:", "document": ""}
    checkpoint = tmp_path / "sentence"
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(str(checkpoint))
    assert identify(checkpoint).name == "decoder"
    manifest, folder = exported(checkpoint, tmp_path / "models")
    assert manifest.prompts == {"query": "Instruct: find\nQuery:"}
    assert manifest.normalised
    own = SentenceTransformer(str(checkpoint), device="cpu")
    own.max_seq_length = TOKENS
    asked = [f"{manifest.prompt('query')}{text}" for text in TEXTS]
    found = encoder_vectors(folder, asked, TOKENS)
    assert cosines(found, own.encode_query(TEXTS, batch_size=1)).min() > 0.9999
    assert cosines(encoder_vectors(folder, TEXTS, TOKENS), own.encode_document(TEXTS)).min() > 0.9999
    changed, _ = exported(
        checkpoint, tmp_path / "changed", overrides=Overrides(query_prompt="", document_prompt="d: ")
    )
    assert changed.prompts == {"query": "", "document": "d: "}


@pytest.mark.parametrize("pooling", ["weightedmean", "lasttoken+mean"])
def test_another_pooling_is_asked_for(pooling: str, write_checkpoint: Write, tmp_path: Path) -> None:
    checkpoint = write_checkpoint("Llama", side="left", **ENDS)
    manifest, folder = exported(checkpoint, tmp_path / "models", overrides=Overrides(pooling=pooling))

    def weighted(layers: torch.Tensor) -> torch.Tensor:
        weights = torch.arange(1, layers.shape[1] + 1, dtype=torch.float32)
        return (layers[-1] * weights[:, None]).sum(dim=0) / weights.sum()

    def both(layers: torch.Tensor) -> torch.Tensor:
        return torch.cat([layers[-1, -1], layers[-1].mean(dim=0)])

    expected = pooled(checkpoint, weighted if pooling == "weightedmean" else both)
    assert manifest.dim == expected.shape[1]
    assert cosines(encoder_vectors(folder, TEXTS, TOKENS), expected).min() > 0.9999


def test_an_unknown_pooling_is_refused(write_checkpoint: Write, tmp_path: Path) -> None:
    checkpoint = write_checkpoint("Llama", side="left")
    with pytest.raises(EncoderError, match=r"no such pooling: lastoken.*Did you mean 'lasttoken'"):
        exported(checkpoint, tmp_path / "models", overrides=Overrides(pooling="lastoken"))


def test_an_encoder_has_no_causal_mask(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointUnsupported, match="--bidirectional"):
        exported(bert, tmp_path / "models", overrides=Overrides(bidirectional=True))


@pytest.mark.parametrize(
    "precision",
    [
        *("int8", "int8-dynamic", "int4-weights"),
        *(pytest.param(name, marks=pytest.mark.nightly) for name in ("fp16", "int8-weights")),
    ],
)
def test_other_precisions_with_exits(precision: str, write_checkpoint: Write, tmp_path: Path) -> None:
    checkpoint = write_checkpoint("Qwen3", side="left", **{**GROUPED, **ENDS})
    words = [*string.ascii_lowercase, *TEXTS[2].split()]
    sample = Sample("words", tuple(f"{one} {other}" for one in words for other in words))
    manifest, folder = exported(
        checkpoint, tmp_path / "models", precision=precision, exits=(1,), sample=sample, verify=VERIFY
    )
    assert manifest.layers == (2, 1)
    _, exact = exported(checkpoint, tmp_path / "exact", exits=(1,), sample=sample, verify=VERIFY)
    for layer in (1, 2):
        near, far = (encoder_vectors(one, TEXTS, TOKENS, layer) for one in (folder, exact))
        assert 0.95 < cosines(near, far).min() < 0.9999999


def test_numbers_too_large_for_fp16_are_told(write_checkpoint: Write, tmp_path: Path) -> None:
    checkpoint = write_checkpoint("Llama", side="left")
    weights = load_file(checkpoint / "model.safetensors")
    weights["embed_tokens.weight"] *= 1e6
    save_file(weights, checkpoint / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointUnsupported, match=r"float16 holds, 65,504: .*fp32 or int8"):
        exported(checkpoint, tmp_path / "models", precision="fp16")
    exported(checkpoint, tmp_path / "models")


def test_a_classifier_is_no_decoder_encoder(write_checkpoint: Write) -> None:
    checkpoint = write_checkpoint("Qwen3", head="ForSequenceClassification", **GROUPED)
    assert identify(checkpoint).name != "decoder"


def test_a_score_head_is_told_by_config_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": None}))
    assert identify(tmp_path).name == "decoder"
