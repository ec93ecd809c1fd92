"""Prompts that pooling leaves out: told by their tokens, and pooled as sentence-transformers pools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from encoder_vectors import encoder_vectors
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.architectures.sentence_transformer import load
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.prompts import leading_prompt, prefixes_of
from nestvec_exporters.options import Overrides
from nestvec_exporters.train.student import Student
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.vectors import cosines

Write = Callable[..., Path]

TEXTS = ["rows from a file", "x", "heat flow in shock waves, measured twice", "Zebra crossing " * 40]
PROMPTS = {"query": "ask: ", "document": "ask: told: "}
TOKENS = 64


def joined(text: str) -> list[int]:
    """A tokenizer of words that a space begins, as SentencePiece has it; 1 begins a text."""
    words = text.replace(" ", " ▁").replace("▁ ", "▁").split(" ")
    return [1, *(sum(map(ord, word)) for word in words)]


def test_a_prompts_last_token_may_grow() -> None:
    alone, followed = joined("Query: "), joined("Query: heat")
    assert alone[:2] == followed[:2]
    assert alone[2] != followed[2]
    (found,) = prefixes_of(joined, {"Query: ": 3})
    assert (list(found.ids), found.hidden) == (alone[:2], 3)


def test_a_prompt_that_no_token_tells_is_refused() -> None:
    with pytest.raises(CheckpointUnsupported, match=r"distinguish it from a text: Query.*a longer prompt"):
        prefixes_of(joined, {"Query": 1})
    with pytest.raises(
        CheckpointUnsupported, match=r"distinguish it from another prompt: Query: find.*a longer prompt"
    ):
        prefixes_of(joined, {"Query: ": 3, "Query: find": 4})


def test_the_longest_prompt_counts() -> None:
    assert leading_prompt("ask: told that", {"query": "ask: ", "document": "ask: told"}) == "ask: told"
    assert leading_prompt("ask", {"query": "ask: "}) == ""


@pytest.mark.parametrize("pooling", ["mean", "cls", "max+weightedmean", "lasttoken+mean_sqrt_len_tokens"])
def test_prompts_are_left_out_of_an_encoders_pooling(
    pooling: str, sentence_bert: Write, tmp_path: Path
) -> None:
    modes = tuple(pooling.split("+"))
    folder = sentence_bert(Pooling(32, pooling_mode=modes, include_prompt=False), prompts=PROMPTS)
    manifest = export(ExportOptions(str(folder), tmp_path / "models", "tiny"))
    assert manifest.prompts == PROMPTS
    assert manifest.verification.cosine_min > 0.9999
    own = SentenceTransformer(str(folder), device="cpu")
    own.max_seq_length = TOKENS
    counted = SentenceTransformer(str(folder), device="cpu")
    counted[1].include_prompt = True
    for name, prompt in {**PROMPTS, "": ""}.items():
        asked = [f"{prompt}{text}" for text in TEXTS]
        found = encoder_vectors(tmp_path / "models" / "tiny", asked, TOKENS)
        expected = own.encode(TEXTS, prompt=prompt, batch_size=1)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        if name:
            assert np.abs(found - counted.encode(TEXTS, prompt=prompt, batch_size=1)).max() > 0.01


def test_prompts_are_left_out_of_a_decoders_pooling(write_checkpoint: Write, tmp_path: Path) -> None:
    plain = write_checkpoint("Llama", side="left", num_key_value_heads=2, bos_token_id=2, eos_token_id=3)
    modules = [Transformer(str(plain)), Pooling(32, pooling_mode="mean", include_prompt=False)]
    checkpoint = tmp_path / "sentence"
    SentenceTransformer(modules=modules, device="cpu").save(str(checkpoint))
    prompt = "Instruct: find\nQuery: "
    asked = Overrides(query_prompt=prompt, bidirectional=True)
    export(ExportOptions(str(checkpoint), tmp_path / "models", "tiny", overrides=asked, exits=()))
    own = SentenceTransformer(str(checkpoint), device="cpu", model_kwargs={"attn_implementation": "eager"})
    own[0].auto_model.config.is_causal = False
    own.max_seq_length = TOKENS
    found = encoder_vectors(tmp_path / "models" / "tiny", [f"{prompt}{text}" for text in TEXTS], TOKENS)
    np.testing.assert_allclose(found, own.encode(TEXTS, prompt=prompt, batch_size=1), atol=1e-4)


def test_what_is_adapted_leaves_prompts_out_too(sentence_bert: Write) -> None:
    folder = sentence_bert(Pooling(32, include_prompt=False), prompts=PROMPTS)
    source = load(Checkpoint(folder, "it"))
    student = Student(source, (2,))
    asked = [f"{PROMPTS['query']}{text}" for text in TEXTS[:3]]
    found = student.embed([source.model.tokenizer(text)["input_ids"] for text in asked])[2]
    expected = source.model.encode(TEXTS[:3], prompt=PROMPTS["query"], batch_size=1)
    assert cosines(found, expected).min() > 0.9999  # some machines train in bfloat16
    source.modules[1].include_prompt = True
    counted = source.model.encode(TEXTS[:3], prompt=PROMPTS["query"], batch_size=1)
    assert (1 - cosines(found, expected) < (1 - cosines(found, counted)) / 4).all()
