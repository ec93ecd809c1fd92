"""Declarations that an export would drop without a word are refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from nestvec_exporters.inventory.check import check_honoured, check_patterns
from nestvec_exporters.inventory.declaration import Declaration, compact
from nestvec_exporters.inventory.take import take_inventory
from nestvec_exporters.options import ExportOptions, Overrides
from nestvec_schemas.errors import CheckpointUnsupported

Take = Callable[..., dict[str, Declaration]]
WriteFiles = Callable[[dict[str, Any]], Path]

BERT = {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 32}
POOLING = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}


def layout(*classes: str, **files: Any) -> dict[str, Any]:
    """A sentence-transformers layout of a BERT of 32 dims, with these classes after it."""
    rows = [
        {
            "idx": number,
            "name": str(number),
            "path": "" if number == 0 else f"{number}_{name}",
            "type": f"sentence_transformers.models.{name}",
        }
        for number, name in enumerate(("Transformer", *classes))
    ]
    return {"modules.json": rows, "config.json": BERT, "1_Pooling/config.json": POOLING, **files}


def with_file(name: str, content: Any) -> dict[str, Any]:
    return {**layout("Pooling"), name: content}


PLAIN_TEXT = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
MESSAGES = {**PLAIN_TEXT, "message": {"method": "forward", "method_output_name": "last_hidden_state"}}

SILENT = [
    ("sentence_bert_config.json", {"modality_config": MESSAGES}, "modality_config", "no chat template"),
    (
        "sentence_bert_config.json",
        {"module_output_name": "sentence_embedding"},
        "module_output_name",
        "reads",
    ),
    (
        "sentence_bert_config.json",
        {"transformer_task": "text-generation"},
        "transformer_task",
        "does feature",
    ),
    (
        "sentence_bert_config.json",
        {"processing_kwargs": {"text": {"max_length": 8}}},
        "processing_kwargs",
        "",
    ),
    ("sentence_bert_config.json", {"query_length": 32}, "query_length", "only late interaction"),
    ("sentence_bert_config.json", {"max_seq_length": -1}, "max_seq_length", "no number of tokens"),
    ("sentence_bert_config.json", {"pad_to_left": True}, "pad_to_left", "nothing reads"),
    ("config_sentence_transformers.json", {"truncate_dim": 16}, "truncate_dim", "--dims"),
    ("config_sentence_transformers.json", {"similarity_fn_name": "jaccard"}, "similarity_fn_name", "no such"),
    ("config_sentence_transformers.json", {"query_prefix": "[Q]"}, "query_prefix", "only late interaction"),
    (
        "config_sentence_transformers.json",
        {"activation_fn": "torch.nn.Sigmoid"},
        "activation_fn",
        "only a cross",
    ),
    ("tokenizer_config.json", {"split_special_tokens": True}, "split_special_tokens", "read as such"),
    ("tokenizer_config.json", {"sp_model_kwargs": {"alpha": 0.1}}, "sp_model_kwargs", "does not sample"),
    (
        "config.json",
        {**BERT, "position_embedding_type": "relative_key"},
        "position_embedding_type",
        "ignore it",
    ),
    ("config.json", {**BERT, "quantization_config": {"bits": 4}}, "quantization_config", "quantised"),
    ("config.json", {**BERT, "auto_map": {"AutoModel": "m.Model"}}, "auto_map", "code of its own"),
    ("config.json", {**BERT, "use_gated_mlp": True}, "use_gated_mlp", "does not read this key"),
    (
        "1_Pooling/config.json",
        {**POOLING, "word_embedding_dimension": 768},
        "word_embedding_dimension",
        "is 32, not 768",
    ),
    ("1_Pooling/config.json", {**POOLING, "temperature": 2}, "temperature", "nothing reads"),
    (
        "1_Pooling/config.json",
        {**POOLING, "pooling_mode_magic_tokens": True},
        "pooling_mode_magic_tokens",
        "",
    ),
]


@pytest.mark.parametrize(("file", "content", "key", "reason"), SILENT, ids=[row[2] for row in SILENT])
def test_what_would_be_dropped_is_refused_by_name(
    take: Take, file: str, content: dict[str, Any], key: str, reason: str
) -> None:
    declaration = take(with_file(file, content))[f"{file}:{key}"]
    assert (declaration.outcome, declaration.value) == ("refused", content[key])
    assert reason in declaration.reason


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (
            "sentence_bert_config.json",
            {"modality_config": PLAIN_TEXT, "module_output_name": "token_embeddings"},
        ),
        ("sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": True, "unpad_inputs": False}),
        (
            "sentence_bert_config.json",
            {"processor_kwargs": {"truncation_side": "left"}, "query_length": None},
        ),
        ("tokenizer_config.json", {"truncation_side": "left", "padding_side": "left"}),
        ("config.json", {**BERT, "anything": None, "something": False, "more": {}, "less": 0}),
    ],
)
def test_what_is_honoured_or_off_passes(take: Take, file: str, content: dict[str, Any]) -> None:
    declarations = take(with_file(file, content))
    assert [name for name, item in declarations.items() if item.outcome == "refused"] == []


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ("colbert_linear.pt", "names these weights"),
        ("sparse_linear.safetensors", "names these weights"),
        ("heads/projection.bin", "names these weights"),
        ("2_Dense/config.json", "does not name this folder"),
        ("1_Pooling/model.safetensors", "Pooling loads no weights"),
        ("projection_config.json", "names this configuration"),
    ],
)
def test_weights_and_modules_that_nothing_names(take: Take, extra: str, reason: str) -> None:
    declaration = take(with_file(extra, {}))[extra]
    assert declaration.outcome == "refused"
    assert reason in declaration.reason


@pytest.mark.parametrize(
    "extra", ["onnx/model.onnx", "pytorch_model.bin", "checkpoint-5/optimizer.pt", "README.md"]
)
def test_copies_and_records_are_irrelevant(take: Take, extra: str) -> None:
    assert take(with_file(extra, {}))[extra].outcome == "irrelevant"


def test_widths_are_compared_along_the_modules_and_with_weights(write_files: WriteFiles) -> None:
    dense = {"in_features": 24, "out_features": 16, "activation_function": "torch.nn.Identity"}
    files = layout("Pooling", "Dense", "LayerNorm", **{"2_Dense/config.json": dense})
    folder = write_files({**files, "3_LayerNorm/config.json": {"dimension": 8}})
    save_file({"linear.weight": np.zeros((12, 24), np.float32)}, folder / "2_Dense" / "model.safetensors")
    declarations = take_inventory(folder, "sentence", options(folder))
    reasons = {item.name: item.reason for item in declarations if item.outcome == "refused"}
    assert reasons == {
        "2_Dense/config.json:in_features": "the width before it is 32, not 24",
        "2_Dense/config.json:out_features": "the width of its weights is 12, not 16",
        "3_LayerNorm/config.json:dimension": "the width before it is 16, not 8",
    }


def options(folder: Path, **more: Any) -> ExportOptions:
    return ExportOptions(checkpoint=str(folder), models=Path("models"), name="encoder", **more)


HEADS = ["Qwen3ForCausalLM", "BertForTokenClassification", "BertForQuestionAnswering", "GPT2LMHeadModel"]


@pytest.mark.parametrize("head", HEADS)
def test_a_head_without_a_layout_needs_a_pooling(take: Take, write_files: WriteFiles, head: str) -> None:
    config = {**BERT, "architectures": [head]}
    refused = take({"config.json": config})["config.json:architectures"]
    assert refused.outcome == "refused"
    assert "add --pooling lasttoken" in refused.reason
    for overrides in (Overrides(pooling="lasttoken"), Overrides(pooling="mean")):
        assert (
            take({"config.json": config}, overrides=overrides)["config.json:architectures"].outcome
            == "irrelevant"
        )


def test_a_body_without_a_layout_is_averaged(take: Take) -> None:
    assert take({"config.json": BERT})["config.json:architectures"].outcome == "honoured"


def test_a_template_without_a_layout_would_make_messages(take: Take) -> None:
    files = {"config.json": BERT, "tokenizer_config.json": {"chat_template": "{{ messages }}"}}
    assert take(files)["tokenizer_config.json:chat_template"].outcome == "refused"
    files = {**layout("Pooling"), "tokenizer_config.json": {"chat_template": "{{ messages }}"}}
    assert take(files)["tokenizer_config.json:chat_template"].outcome == "irrelevant"


def test_a_dim_that_is_offered_honours_the_truncation(take: Take) -> None:
    files = with_file("config_sentence_transformers.json", {"truncate_dim": 16})
    name = "config_sentence_transformers.json:truncate_dim"
    assert take(files, dims=(16,))[name].outcome == "honoured"


@pytest.mark.parametrize("pattern", ["config.json:use_gated_mlp", "config.json:use_*", "config.json"])
def test_what_is_ignored_is_kept_as_ignored(take: Take, pattern: str) -> None:
    files = with_file("config.json", {**BERT, "use_gated_mlp": True})
    declaration = take(files, ignore=(pattern,))["config.json:use_gated_mlp"]
    assert declaration.outcome == "ignored"
    assert "does not read this key" in declaration.reason
    assert compact([declaration])["config.json"]["use_gated_mlp"].startswith("ignored: --ignore: ")


def test_the_refusal_names_the_first_and_counts_the_rest(write_files: WriteFiles) -> None:
    folder = write_files({"config.json": {**BERT, "a1": 1, "a2": 2, "a3": 3, "a4": 4, "a5": 5}})
    with pytest.raises(
        CheckpointUnsupported, match=r"by config\.json:a1: .*a1 = 1, .*a3 = 3 and 2 more"
    ) as raised:
        check_honoured(take_inventory(folder, "sentence", options(folder)))
    assert "--ignore config.json:a1" in str(raised.value)


FILES = layout(
    "Pooling",
    "Dense",
    "LayerNorm",
    "Normalize",
    **{
        "2_Dense/config.json": {"in_features": 32, "out_features": 16},
        "3_LayerNorm/config.json": {"dimension": 16},
        "4_Normalize/config.json": {},
        "sentence_bert_config.json": {"max_seq_length": 64},
        "config_sentence_transformers.json": {"prompts": {}},
        "tokenizer_config.json": {"model_max_length": 64},
    },
)
SHAPING = sorted(name for name in FILES if name != "modules.json")
TRUTHY = st.one_of(st.just(True), st.integers(1), st.text(min_size=1), st.lists(st.integers(), min_size=1))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    file=st.sampled_from(SHAPING),
    key=st.from_regex(r"x_[a-z]{3,12}_q", fullmatch=True),
    value=TRUTHY,
)
def test_any_unknown_key_is_refused_by_name(write_files: WriteFiles, file: str, key: str, value: Any) -> None:
    folder = write_files({**FILES, file: {**FILES[file], key: value}})
    declarations = take_inventory(folder, "sentence", options(folder))
    refused = [item.name for item in declarations if item.outcome == "refused"]
    assert refused == [f"{file}:{key}"]
    (folder / file).write_text(json.dumps(FILES[file]), "utf-8")
    assert all(item.outcome != "refused" for item in take_inventory(folder, "sentence", options(folder)))


def test_a_row_of_modules_is_judged_too(take: Take) -> None:
    files = layout("Pooling")
    files["modules.json"][0]["kwargs"] = ["task"]
    assert take(files)["modules.json:0.kwargs"].outcome == "refused"


@pytest.mark.parametrize(("direction", "outcome"), [("Left", "refused"), ("Right", "honoured")])
def test_a_large_tokenizer_tells_its_side(take: Take, direction: str, outcome: str) -> None:
    truncation = {"direction": direction, "max_length": 128, "strategy": "LongestFirst", "stride": 0}
    vocab = {f"{'word' * 20}{number}": number for number in range(70_000)}
    files = {**layout("Pooling"), "tokenizer.json": {"truncation": truncation, "model": {"vocab": vocab}}}
    name = "tokenizer.json:truncation.direction"
    assert take(files, "late")[name].outcome == outcome
    assert take(files)[name].outcome == "honoured"


def test_an_unknown_step_of_an_images_preprocessing_is_refused(take: Take) -> None:
    config = {"model_type": "clip", "architectures": ["CLIPModel"]}
    files = {"config.json": config, "preprocessor_config.json": {"do_resize": True, "do_posterize": True}}
    declarations = take(files, "dual")
    assert declarations["preprocessor_config.json:do_resize"].outcome == "honoured"
    assert declarations["preprocessor_config.json:do_posterize"].outcome == "refused"
    nested = {
        "processor_class": "CLIPProcessor",
        "image_processor": {"do_resize": True, "do_posterize": True},
    }
    declarations = take({"config.json": config, "processor_config.json": nested}, "dual")
    assert declarations["processor_config.json:image_processor.do_posterize"].outcome == "refused"
    assert declarations["processor_config.json:image_processor.do_resize"].outcome == "honoured"


def test_an_ignored_name_that_is_not_declared_is_a_mistake(take: Take) -> None:
    declarations = take(layout("Pooling")).values()
    check_patterns(declarations, ["config.json:hidden_size", "1_Pooling/*"])
    with pytest.raises(CheckpointUnsupported, match=r"names nothing.*hidden_sise.*hidden_size"):
        check_patterns(declarations, ["config.json:hidden_sise"])


def test_a_prompt_that_truncation_cuts_off_cannot_be_omitted(take: Take) -> None:
    """The library counts the prompt's tokens from the beginning of what is left of the text."""
    files = with_file("tokenizer_config.json", {"truncation_side": "left"})
    files["1_Pooling/config.json"] = {**POOLING, "include_prompt": False}
    assert take(files)["1_Pooling/config.json:include_prompt"].outcome == "honoured"
    files["config_sentence_transformers.json"] = {"prompts": {"query": "query: "}}
    declaration = take(files)["1_Pooling/config.json:include_prompt"]
    assert (declaration.outcome, "cut on the left" in declaration.reason) == ("refused", True)


@pytest.mark.parametrize(("route", "outcome"), [("query", "refused"), ("document", "honoured")])
def test_a_route_for_texts_without_a_role_is_the_documents(take: Take, route: str, outcome: str) -> None:
    router = {"types": {}, "structure": {}, "parameters": {"default_route": route}}
    row = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Router"}
    declarations = take({"modules.json": [row], "router_config.json": router})
    assert declarations["router_config.json:parameters.default_route"].outcome == outcome


@pytest.mark.parametrize(("prompts", "outcome"), [({}, "honoured"), ({"rank": "Rank: "}, "refused")])
def test_a_cross_encoder_that_would_omit_prompts(take: Take, prompts: dict[str, str], outcome: str) -> None:
    files = with_file("config_sentence_transformers.json", {"model_type": "CrossEncoder", "prompts": prompts})
    files["1_Pooling/config.json"] = {**POOLING, "include_prompt": False}
    assert take(files, "cross")["1_Pooling/config.json:include_prompt"].outcome == outcome
