"""Encoder halves of random weights: transformers' own vectors, mean pooled, and language tags."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from encoder_vectors import encoder_vectors
from tokenizers import Tokenizer
from transformers.models.m2m_100.modeling_m2m_100 import M2M100Encoder
from verify_level import VERIFY

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.architectures.encdec import language_tags
from nestvec_exporters.checkpoints.kinds import identify
from nestvec_exporters.options import Overrides
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.vectors import Vectors, cosines

Write = Callable[..., Path]

TEXTS = ["rows from a file", "x", "heat flow in shock waves, measured twice", "zebra crossing " * 40]
TOKENS = 64

HALVES: dict[str, Any] = {
    "hidden_size": None,
    "num_hidden_layers": None,
    "num_attention_heads": None,
    "intermediate_size": None,
    "initializer_range": None,
    "init_std": 0.3,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "decoder_start_token_id": 3,
    "forced_eos_token_id": 3,
}
CLASSES = {
    "Bart": "ForConditionalGeneration",
    "MBart": "Model",
    "M2M100": "ForConditionalGeneration",
    "Marian": "Model",
    "Pegasus": "Model",
    "PLBart": "Model",
}


def exported(checkpoint: Path, models: Path, **options: Any) -> tuple[Manifest, Path]:
    return export(ExportOptions(str(checkpoint), models, "tiny", **options)), models / "tiny"


def own_vectors(encoder: Any, tokenizer: Any, texts: list[str]) -> Vectors:
    found = []
    for text in texts:
        read = tokenizer(text, truncation=True, max_length=TOKENS, return_tensors="pt")
        with torch.no_grad():
            found.append(encoder(input_ids=read["input_ids"]).last_hidden_state[0].mean(dim=0))
    return np.asarray(torch.stack(found).numpy(), np.float32)


@pytest.mark.parametrize("kind", CLASSES)
def test_an_encoder_half_gives_its_own_vectors(kind: str, write_checkpoint: Write, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(kind, head=CLASSES[kind], **HALVES)
    assert identify(checkpoint).name == "encdec"
    manifest, folder = exported(checkpoint, tmp_path / "models", verify=VERIFY)
    tower = manifest.towers["text"]
    assert (tower.pooling, tower.max_tokens, manifest.layers) == ("mean", TOKENS, (2,))
    model = transformers.AutoModel.from_pretrained(checkpoint, attn_implementation="eager").eval()
    expected = own_vectors(model.get_encoder(), transformers.AutoTokenizer.from_pretrained(checkpoint), TEXTS)
    found = encoder_vectors(folder, TEXTS, TOKENS)
    assert cosines(found, expected).min() > 0.9999
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["MT5", "T5"])
def test_t5_and_mt5_stay_with_sentence_transformers(
    kind: str, write_checkpoint: Write, tmp_path: Path
) -> None:
    sizes = {"d_model": 32, "num_layers": 2, "num_heads": 4, "d_kv": 8, "d_ff": 64}
    checkpoint = write_checkpoint(kind, max_position_embeddings=None, **sizes)
    assert identify(checkpoint).name == "sentence"
    manifest, folder = exported(checkpoint, tmp_path / "models")
    assert manifest.towers["text"].pooling == "mean"
    encoder = getattr(transformers, f"{kind}EncoderModel").from_pretrained(checkpoint).eval()
    expected = own_vectors(encoder, transformers.AutoTokenizer.from_pretrained(checkpoint), TEXTS[:3])
    assert cosines(encoder_vectors(folder, TEXTS[:3], 512), expected).min() > 0.9999


def test_exits_of_an_encoder_half(write_checkpoint: Write, tmp_path: Path) -> None:
    checkpoint = write_checkpoint("M2M100", **HALVES)
    letters = string.ascii_lowercase
    sample = Sample("letters", tuple(f"{one} {other}" for one in letters for other in letters))
    manifest, folder = exported(
        checkpoint,
        tmp_path / "models",
        exits=(1,),
        sample=sample,
        precision="int8-dynamic",
        verify=VERIFY,
    )
    assert manifest.layers == (2, 1)
    _, alone = exported(checkpoint, tmp_path / "alone", verify=VERIFY)
    near, far = encoder_vectors(folder, TEXTS, TOKENS, 2), encoder_vectors(alone, TEXTS, TOKENS)
    assert cosines(near, far).min() > 0.95


def nllb(folder: Path) -> Any:
    """A tokenizer as NLLB's, of characters; saved beside the model."""
    tags = ["eng_Latn", "fra_Latn", "zho_Hans"]
    words = ["<s>", "<pad>", "</s>", "<unk>", "▁", *string.ascii_lowercase, ",", *tags]
    vocab = {word: number for number, word in enumerate(words)}
    tokenizer = transformers.NllbTokenizer(vocab=vocab, merges=[], extra_special_tokens=tags)
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.fixture
def translator(write_checkpoint: Write) -> tuple[Path, Any]:
    checkpoint = write_checkpoint(
        "M2M100", **{**HALVES, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    )
    for path in checkpoint.glob("*token*"):
        path.unlink()
    return checkpoint, nllb(checkpoint)


def test_a_text_has_the_default_tag_or_its_own(translator: tuple[Path, Any], tmp_path: Path) -> None:
    checkpoint, tokenizer = translator
    asked = Overrides(query_prompt="fra_Latn ")
    manifest, folder = exported(checkpoint, tmp_path / "models", overrides=asked)
    assert manifest.prompts == {"query": "fra_Latn "}
    assert len(language_tags(Tokenizer.from_file(str(folder / "tokenizer.json")))) == 3
    model = transformers.AutoModel.from_pretrained(checkpoint, attn_implementation="eager").eval()
    english = own_vectors(model.get_encoder(), tokenizer, TEXTS)
    tokenizer.src_lang = "fra_Latn"
    french = own_vectors(model.get_encoder(), tokenizer, TEXTS[:3])
    assert cosines(english[:3], french).max() < 0.9999
    assert cosines(encoder_vectors(folder, TEXTS, TOKENS), english).min() > 0.9999
    prompted = [f"{manifest.prompt('query')}{text}" for text in TEXTS[:3]]
    assert cosines(encoder_vectors(folder, prompted, TOKENS), french).min() > 0.9999
    # Both kinds in one batch, and what is no tag stays.
    mixed = encoder_vectors(folder, [TEXTS[0], prompted[1], f"x {prompted[2]}"], TOKENS)
    assert cosines(mixed[:2], np.stack([english[0], french[1]])).min() > 0.9999
    assert cosines(mixed[2:], french[2:])[0] < 0.9999


def test_sonars_layout_is_an_encoder_alone(translator: tuple[Path, Any], tmp_path: Path) -> None:
    checkpoint, tokenizer = translator
    model = transformers.AutoModel.from_pretrained(checkpoint, attn_implementation="eager").eval()
    expected = own_vectors(model.get_encoder(), tokenizer, TEXTS)
    alone = tmp_path / "sonar"
    encoder = model.get_encoder()
    assert isinstance(encoder, M2M100Encoder)
    encoder.save_pretrained(alone)
    tokenizer.save_pretrained(alone)
    _, folder = exported(alone, tmp_path / "models")
    assert cosines(encoder_vectors(folder, TEXTS, TOKENS), expected).min() > 0.9999


def test_more_tokens_than_positions_are_refused(write_checkpoint: Write, tmp_path: Path) -> None:
    checkpoint = write_checkpoint("Bart", **HALVES)
    with pytest.raises(CheckpointUnsupported, match="--max-tokens 64 or less"):
        exported(checkpoint, tmp_path / "models", max_tokens=65)
