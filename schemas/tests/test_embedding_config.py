from __future__ import annotations

import re
from dataclasses import fields
from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nestvec_schemas.bridges.bridge import bridged_name
from nestvec_schemas.embedding_config import (
    VECTOR_FORMS,
    VECTOR_TYPES,
    EmbeddingConfig,
    Prompts,
    parse_query,
    query_parameters,
)
from nestvec_schemas.manifest import ENCODER_NAME, EXPERT_NAME

configs = st.builds(
    EmbeddingConfig,
    encoder=st.from_regex(ENCODER_NAME, fullmatch=True),
    dim=st.none() | st.integers(1, 32_768),
    exit=st.none() | st.integers(1, 999),
    expert=st.none() | st.from_regex(EXPERT_NAME, fullmatch=True),
    top=st.none() | st.integers(1, 1_000_000),
    prompt=st.none() | st.text(max_size=30),
    query_prompt=st.none() | st.text(max_size=30),
)


@given(configs)
def test_a_query_string_is_read_back(config: EmbeddingConfig) -> None:
    assert parse_query(urlencode(query_parameters(config))) == config


def test_only_what_is_chosen_is_in_the_query_string() -> None:
    assert query_parameters(EmbeddingConfig("minilm")) == {"encoder": "minilm"}
    config = EmbeddingConfig("minilm", 64, 3, "biomed", "int8", prompts=Prompts("d ", "q "))
    assert urlencode(query_parameters(config)) == "encoder=minilm&dim=64&exit=3&expert=biomed"


def test_a_bridge_is_the_encoder_of_a_query_string_that_names_both() -> None:
    config = parse_query("encoder=bge:2&as=minilm:3&dim=64")
    assert config == EmbeddingConfig("bge.as.minilm.v3:2", 64)


_names = st.from_regex(re.compile(r"[a-c.v-]{1,6}(:[a-c][a-c.v-]{0,4})?"), fullmatch=True)


@given(_names, _names)
@example("minilm:2", "minilm-2")
@example("minilm:2", "minilm.v2")
@example("a.v:b", "a.v.v:b")
@example("a:b.vc", "a.vb:c")
def test_two_encoders_never_share_the_name_of_a_bridge(one_encoder: str, other: str) -> None:
    assert (bridged_name("bge", one_encoder) == bridged_name("bge", other)) == (one_encoder == other)


@pytest.mark.parametrize("query", ["", "dim=64", "text=a&exit=3"])
def test_a_query_string_without_an_encoder_is_of_something_else(query: str) -> None:
    assert parse_query(query) is None


@pytest.mark.parametrize("query", ["encoder=a&dim=many", "encoder=a&exit=deep", "encoder=a&top=1.5"])
def test_a_malformed_number_is_an_error(query: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        parse_query(query)


def test_prompts_follow_from_the_encoder_and_distinguish_nothing() -> None:
    plain, prompted = EmbeddingConfig("e5"), EmbeddingConfig("e5", prompts=Prompts("passage: ", "query: "))
    assert plain == prompted
    assert hash(plain) == hash(prompted)
    assert prompted.prompts.query == "query: "


def test_attributes_are_every_field_that_distinguishes() -> None:
    config = EmbeddingConfig("splade", form="sparse", top=64)
    assert list(config.attributes()) == [
        "encoder",
        "dim",
        "exit",
        "expert",
        "form",
        "top",
        "prompt",
        "query_prompt",
    ]
    assert {field.name for field in fields(config)} - set(config.attributes()) == {"prompts", "fingerprint"}
    assert EmbeddingConfig(**config.attributes()) == config


def test_each_form_has_a_type_of_its_own() -> None:
    assert {VECTOR_FORMS[type_]: type_ for type_ in VECTOR_FORMS} == VECTOR_TYPES


def test_a_prompt_is_for_both_roles_unless_it_is_a_documents_or_another_is_named() -> None:
    def names(**prompts: str) -> tuple[str, str]:
        config = EmbeddingConfig("e5", **prompts)
        return config.prompt_name("document"), config.prompt_name("query")

    assert names() == ("document", "query")
    assert names(prompt="Clustering") == ("Clustering", "Clustering")
    assert names(prompt="query") == ("query", "query")
    assert names(prompt="passage") == ("passage", "query")
    assert names(prompt="passage", query_prompt="passage") == ("passage", "passage")
    assert names(query_prompt="s2s_query") == ("document", "s2s_query")
    assert names(prompt="") == ("", "")


def test_texts_of_the_prompts_that_a_value_names() -> None:
    prompts = {"query": "q: ", "document": "d: ", "sts": "s: "}
    assert EmbeddingConfig("e5").texts_of(prompts, None) == Prompts("d: ", "q: ")
    assert EmbeddingConfig("e5", prompt="sts").texts_of(prompts, "sts") == Prompts("s: ", "s: ", "s: ")
    assert EmbeddingConfig("e5", prompt="", query_prompt="query").texts_of(prompts, "") == Prompts("", "q: ")
