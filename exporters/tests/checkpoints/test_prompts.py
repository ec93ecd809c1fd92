"""Prompts that pooling leaves out: told by their tokens, and pooled as sentence-transformers pools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encoder_vectors import encoder_vectors
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.prompts import leading_prompt, named_prompts, prefixes_of, read_prompts
from nestvec_exporters.options import Overrides
from nestvec_exporters.text_encoders.sentence_model import load
from nestvec_exporters.train.student import Student
from nestvec_schemas.errors import CheckpointUnsupported, EncoderError
from nestvec_schemas.prompt_roles import role_of
from nestvec_schemas.vectors import cosines

Write = Callable[..., Path]

TEXTS = ["rows from a file", "x", "heat flow in shock waves, measured twice", "Zebra crossing " * 40]
PROMPTS = {"query": "ask: ", "document": "ask: told: "}
TOKENS = 64


def test_the_roles_are_told_from_names_and_every_name_is_kept() -> None:
    gemma = {"query": "q: ", "document": "d: ", "Retrieval-query": "q: ", "STS": "s: ", "Clustering": "c: "}
    prompts = named_prompts(gemma, "STS")
    assert (dict(prompts), prompts.default, prompts.notes) == (gemma, "STS", ())
    jina = {
        "retrieval.query": "Q ",
        "retrieval.passage": "P ",
        "classification": "",
        "query": "",
        "document": "",
    }
    assert dict(named_prompts(jina, None)) == {
        "query": "Q ",
        "document": "P ",
        "retrieval.query": "Q ",
        "retrieval.passage": "P ",
        "classification": "",
    }


def test_the_likeliest_of_two_is_chosen_and_said() -> None:
    own = {"s2p_query": "s: ", "web_search_query": "w: ", "passage": "p: "}
    prompts = named_prompts(own, None)
    assert (prompts["query"], prompts["document"]) == ("w: ", "p: ")
    (note,) = prompts.notes
    assert note.startswith("the prompt of a query is web_search_query, not s2p_query; --query-prompt-name")
    chosen = named_prompts(own, None, Overrides(query_prompt_name="s2p_query"))
    assert (chosen["query"], chosen.notes) == ("s: ", ())


def test_a_role_without_a_prompt_is_said_where_there_are_others() -> None:
    prompts = named_prompts({"query": "q: ", "document": "", "Clustering": "c: "}, None)
    (note,) = prompts.notes
    assert note.startswith("no prompt is named as that of a document, so documents have none")
    assert "others: Clustering;" in note
    assert named_prompts({"query": "q: ", "document": ""}, None).notes == ()
    assert named_prompts({"query": "q: "}, None, Overrides(document_prompt="")).notes == ()


def test_prompts_are_added_and_replaced() -> None:
    own, added = {"query": "q: ", "STS": "s: "}, Overrides(more_prompts={"STS": "x: ", "new": "n: "})
    assert dict(named_prompts(own, None, added)) == {"query": "q: ", "STS": "x: ", "new": "n: "}
    named = Overrides(document_prompt_name="new", more_prompts={"new": "n: "}, query_prompt="")
    assert dict(named_prompts(own, "query", named)) == {
        "query": "",
        "document": "n: ",
        "STS": "s: ",
        "new": "n: ",
    }


@pytest.mark.parametrize(
    ("own", "default", "options", "message"),
    [
        (
            {"STS": "s"},
            "sts",
            {},
            r"the default prompt in its config_sent.* is no prompt.*: sts\. Available: STS",
        ),
        ({"STS": "s"}, None, {"query_prompt_name": "STSs"}, r"--query-prompt-name is no prompt.*mean 'STS'"),
        ({}, None, {"document_prompt_name": "x"}, "Available: no prompts"),
    ],
)
def test_names_that_are_no_prompts(
    own: dict[str, str], default: str | None, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointUnsupported, match=message):
        named_prompts(own, default, Overrides(**options))


@pytest.mark.parametrize("prompts", [["q: "], {"query": ["q: "]}, {"query": 3}])
def test_prompts_that_are_no_texts(prompts: object) -> None:
    with pytest.raises(CheckpointUnsupported, match="prompts are not texts by name"):
        read_prompts({"prompts": prompts}, Overrides())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query_prompt": "q", "query_prompt_name": "STS"}, "a query is either a text or the name"),
        ({"more_prompts": {"query": "q"}}, r"cannot have this name: query\. Write --query-prompt TEXT"),
        ({"more_prompts": {" ": "q"}}, "Write --prompt NAME=TEXT"),
    ],
)
def test_options_that_contradict(options: dict[str, Any], message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        Overrides(**options)


NAMES = st.sampled_from(
    ["query", "search_query", "Retrieval-query", "document", "passage", "STS", "Clustering", "a b", "ü"]
)


@given(st.dictionaries(NAMES, st.sampled_from(["", "x: ", "y: "])), st.none() | NAMES)
def test_every_own_prompt_keeps_its_text_under_its_name(own: dict[str, str], default: str | None) -> None:
    """sentence-transformers is the oracle: each name that it knows gives the same text here."""
    if default is not None and default not in own and default not in ("query", "document"):
        with pytest.raises(CheckpointUnsupported):
            named_prompts(own, default)
        return
    library = SentenceTransformer(
        modules=[Normalize()], prompts=own, default_prompt_name=default, device="cpu"
    )
    prompts = named_prompts(library.prompts, library.default_prompt_name)
    for name, text in library.prompts.items():
        assert library._resolve_prompt(None, name) == text
        if text or name not in ("query", "document"):
            assert prompts[name] == text
    assert (library._resolve_prompt(None, None) or "") == prompts.get(prompts.default or "", "")
    for role in ("query", "document"):
        candidates = [text for name, text in own.items() if text and role_of(name) == role]
        assert prompts.get(role, "") in (candidates or [""])


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
