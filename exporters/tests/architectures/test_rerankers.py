"""Rerankers of sentence-transformers 6: language models that answer, modules that end in a score."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.models import Dense, Pooling, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.kinds import identify
from nestvec_exporters.options import Overrides
from nestvec_exporters.probes.pairs import pair_rows
from nestvec_exporters.verify import compare
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.repository import GRAPH

Write = Callable[..., Path]

TOKENS = 256
DECODER = {"num_key_value_heads": 2, "head_dim": 8, "bos_token_id": 2, "eos_token_id": 3}
PADDING = 5
INSTRUCTION = "Given a query, find passages"
TEMPLATE = """\
{%- set instruction = messages | selectattr("role", "eq", "system") | map(attribute="content") | first \
| default("Given a web search query") -%}
<|im_start|>system
Judge whether the Document answers the Query. Say "yes" or "no".<|im_end|>
<|im_start|>user
<Instruct>: {{ instruction }}
<Query>: {{ messages | selectattr("role", "eq", "query") | map(attribute="content") | first }}
<Document>: {{ messages | selectattr("role", "eq", "document") | map(attribute="content") | first }}<|im_end|>
<|im_start|>assistant
"""
PAIRS = [
    ("heat flow", "shock waves in a long tube of air"),
    ("heat flow", " heat "),
    ("", "the flow of heat through a plate, " * 2),
    ("a", "b " * 400),  # longer than the limit: what ends the text decides
    ("q " * 400, "d"),
]


def exported(folder: Path, models: Path, **options: Any) -> Manifest:
    return export(ExportOptions(str(folder), models, "reranker", verify="quick", **options))


def graph_scores(models: Path, manifest: Manifest) -> Array:
    tower = manifest.towers["text"]
    rows = pair_rows(models / "reranker", PAIRS, tower.max_tokens, tower.pair)
    outputs = compare.run_graph(models / "reranker" / GRAPH, rows, unbatched=tower.alone)
    return np.concatenate(outputs).ravel()


def own_scores(folder: Path, **settings: Any) -> Array:
    model = CrossEncoder(str(folder), device="cpu", **settings)
    return np.asarray(model.predict(PAIRS, batch_size=1, activation_fn=torch.nn.Identity()))


def with_template(folder: Path, task: str, template: str = TEMPLATE) -> Transformer:
    output = {"text-generation": "causal_logits", "sequence-classification": "scores"}[task]
    read = {"method": "forward", "method_output_name": "logits"}
    transformer = Transformer(
        str(folder),
        transformer_task=task,
        modality_config={"text": read, "message": {**read, "format": "flat"}},
        module_output_name=output,
        max_seq_length=TOKENS,
    )
    transformer.tokenizer.chat_template = template
    return transformer


def saved(folder: Path, *modules: torch.nn.Module, **settings: Any) -> Path:
    CrossEncoder(modules=list(modules), device="cpu", **settings).save(str(folder))
    return folder


@pytest.fixture
def language_model(write_checkpoint: Write) -> Path:
    return write_checkpoint("Qwen3", head="ForCausalLM", max_position_embeddings=TOKENS, **DECODER)


@pytest.mark.parametrize("words", [(20, 21), (20, None)])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_language_model_that_answers(
    precision: str, words: tuple[int, int | None], language_model: Path, tmp_path: Path
) -> None:
    folder = saved(
        tmp_path / "saved",
        with_template(language_model, "text-generation"),
        LogitScore(*words),
        prompts={"web": INSTRUCTION},
        default_prompt_name="web",
    )
    assert identify(folder).name == "cross"
    manifest = exported(folder, tmp_path / "models", precision=precision)
    pair = manifest.towers["text"].pair
    assert pair is not None
    assert INSTRUCTION in pair.prefix
    assert pair.suffix == "<|im_end|>\n<|im_start|>assistant"
    assert manifest.towers["text"].max_tokens == TOKENS
    expected = own_scores(folder)
    tolerance = {"fp32": 1e-4, "fp16": 0.02}[precision]
    np.testing.assert_allclose(graph_scores(tmp_path / "models", manifest), expected, atol=tolerance)
    assert abs(expected[3] - expected[4]) > tolerance


def test_modules_that_end_in_a_score(write_checkpoint: Write, tmp_path: Path) -> None:
    """As the ettin rerankers are published: ModernBERT, Pooling, Dense, LayerNorm, Dense."""
    plain = write_checkpoint(
        "ModernBert",
        cls_token_id=2,
        sep_token_id=3,
        **{"bos_token_id": 2, "eos_token_id": 3, "local_attention": 16, "max_position_embeddings": TOKENS},
    )
    folder = saved(
        tmp_path / "saved",
        Transformer(str(plain)),
        Pooling(32, pooling_mode="cls"),
        Dense(32, 32, bias=False, activation_function=torch.nn.GELU(), use_residual=True),
        LayerNorm(32),
        Dense(32, 1, activation_function=torch.nn.Identity(), module_output_name="scores"),
        activation_fn=torch.nn.Identity(),
    )
    assert identify(folder).name == "cross"
    manifest = exported(folder, tmp_path / "models")
    assert (manifest.kind, manifest.towers["text"].activation) == ("reranker", "identity")
    np.testing.assert_allclose(graph_scores(tmp_path / "models", manifest), own_scores(folder), atol=1e-4)


@pytest.mark.parametrize("precision", ["fp16", "int8-dynamic"])
@pytest.mark.parametrize("padded", [True, False])
def test_a_decoder_that_classifies(
    padded: bool, precision: str, write_checkpoint: Write, tmp_path: Path
) -> None:
    """A service pads with 0, which is no padding to these models."""
    head = {"head": "ForSequenceClassification", "num_labels": 1, "max_position_embeddings": TOKENS}
    padding = PADDING if padded else None
    folder = write_checkpoint("Qwen3", **{**head, **DECODER, "pad_token_id": padding})
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(PADDING)
    tokenizer.save_pretrained(folder)
    manifest = exported(folder, tmp_path / "models", precision=precision)
    tolerance = {"fp16": 0.02, "int8-dynamic": 0.3}[precision]
    np.testing.assert_allclose(
        graph_scores(tmp_path / "models", manifest), own_scores(folder), atol=tolerance
    )


def test_another_padding_token_than_the_tokenizers(write_checkpoint: Write, tmp_path: Path) -> None:
    head = {"head": "ForSequenceClassification", "num_labels": 1}
    folder = write_checkpoint("Qwen3", **{**head, **DECODER, "pad_token_id": PADDING})
    with pytest.raises(CheckpointUnsupported, match="pad_token_id 5, and the tokenizer pads with 0"):
        exported(folder, tmp_path / "models")


def test_an_instruction_before_the_query(write_checkpoint: Write, tmp_path: Path) -> None:
    plain = write_checkpoint("Bert", head="ForSequenceClassification", num_labels=1)
    settings = {"prompts": {"one": "find: ", "two": "judge: "}, "default_prompt_name": "one"}
    CrossEncoder(str(plain), device="cpu", **settings).save(str(tmp_path / "saved"))
    manifest = exported(tmp_path / "saved", tmp_path / "models")
    expected = own_scores(tmp_path / "saved")
    np.testing.assert_allclose(graph_scores(tmp_path / "models", manifest), expected, atol=1e-4)
    del settings["default_prompt_name"]
    CrossEncoder(str(plain), device="cpu", **settings).save(str(tmp_path / "undecided"))
    with pytest.raises(CheckpointUnsupported, match=r"prompts without a default.*one, two.*--query-prompt"):
        exported(tmp_path / "undecided", tmp_path / "other")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            TEMPLATE.replace('attribute="content") | first }}', 'attribute="content") | first | upper }}'),
            "once",
        ),
        (
            TEMPLATE.replace(
                '"query") | map(attribute="content")', '"query") | map(attribute="content") | map("trim")'
            ),
            "changes the texts",
        ),
        ("{{ raise_exception('no pairs') }}", "no pairs"),
    ],
)
def test_a_template_that_changes_texts(
    template: str, message: str, language_model: Path, tmp_path: Path
) -> None:
    transformer = with_template(language_model, "text-generation", template)
    folder = saved(tmp_path / "saved", transformer, LogitScore(20, 21))
    with pytest.raises(CheckpointUnsupported, match=f"chat template cannot be reproduced.*{message}"):
        exported(folder, tmp_path / "models")


def test_modules_that_read_something_else(write_checkpoint: Write, tmp_path: Path) -> None:
    plain = write_checkpoint("Bert")
    folder = saved(
        tmp_path / "saved",
        Transformer(str(plain)),
        Pooling(32),
        Dense(32, 1, activation_function=torch.nn.Identity()),
    )
    with pytest.raises(CheckpointUnsupported, match=r"do not make one score.*not scores"):
        exported(folder, tmp_path / "models", overrides=Overrides())
