from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import DimNotOffered, ExitNotOffered, PromptNotOffered
from nestvec_schemas.manifest import ENCODER_NAME, EXPERT_NAME
from nestvec_schemas.model_name import encoder_of, fingerprint_of, format_model_name, parse_model_name


@given(
    st.from_regex(ENCODER_NAME, fullmatch=True),
    st.none() | st.integers(1, 9999),
    st.none() | st.from_regex(EXPERT_NAME, fullmatch=True),
    st.tuples(st.none() | st.text(max_size=20), st.none() | st.text(max_size=20)),
)
def test_a_name_is_read_back(
    encoder: str, exit: int | None, expert: str | None, prompts: tuple[str | None, str | None]
) -> None:
    config = EmbeddingConfig(encoder, None, exit, expert, prompt=prompts[0], query_prompt=prompts[1])
    assert encoder_of(format_model_name(config)) == encoder
    assert parse_model_name(format_model_name(config)) == config


def test_an_expert_stands_before_an_exit() -> None:
    assert format_model_name(EmbeddingConfig("minilm", exit=3, expert="biomed")) == "minilm@biomed@3"
    assert parse_model_name("minilm@biomed") == EmbeddingConfig("minilm", expert="biomed")
    assert parse_model_name("minilm@3") == EmbeddingConfig("minilm", exit=3)


@pytest.mark.parametrize(
    "name",
    [
        "a@",
        "a@0",
        "a@03",
        "a@-1",
        "a@3@4",
        "a@3.0",
        "a@\u0663",
        "a@10000",
        "a@x@",
        "a@3@x",
        "a@x@y",
        "a@é",
        "@3",
        "@x",
    ],
)
def test_what_is_no_layer_and_no_expert(name: str) -> None:
    with pytest.raises(
        ExitNotOffered,
        match=r"is neither an expert nor a layer.*Write ENCODER@EXPERT@LAYER, for example minilm@",
    ):
        parse_model_name(name)


def test_a_tag_belongs_to_the_encoder() -> None:
    assert ENCODER_NAME.fullmatch("minilm:2")
    assert not any(map(ENCODER_NAME.fullmatch, ("minilm:", ":2", "minilm:2:3", "minilm:a b", "minilm:/x")))
    assert parse_model_name("minilm:2@biomed@3") == EmbeddingConfig("minilm:2", exit=3, expert="biomed")
    assert encoder_of("minilm:2?prompt=query") == "minilm:2"


def test_prompts_stand_last() -> None:
    config = EmbeddingConfig("e5", exit=3, prompt="Retrieval query", query_prompt="s2p")
    assert format_model_name(config) == "e5@3?prompt=Retrieval+query&query_prompt=s2p"
    assert parse_model_name("e5?prompt=") == EmbeddingConfig("e5", prompt="")


@pytest.mark.parametrize("name", ["a?", "a?task=sts", "a?prompt=x&top=3"])
def test_what_is_no_prompt(name: str) -> None:
    with pytest.raises(PromptNotOffered, match=r"is not a prompt.*Write ENCODER\?prompt=NAME"):
        parse_model_name(name)


def test_a_dim_is_in_the_name_if_it_is_wanted_there() -> None:
    config = EmbeddingConfig("minilm", 64, exit=3, prompt="sts")
    assert format_model_name(config) == "minilm@3?prompt=sts"
    assert format_model_name(config, with_dim=True) == "minilm@3?dim=64&prompt=sts"
    assert format_model_name(EmbeddingConfig("minilm"), with_dim=True) == "minilm"
    assert parse_model_name("minilm@3?dim=64&prompt=sts") == config
    assert encoder_of("minilm?dim=64") == "minilm"


def test_a_fingerprint_is_in_the_name_if_it_is_wanted_there() -> None:
    config = EmbeddingConfig("minilm:2", 64, exit=3, prompt="sts", fingerprint="0123456789abcdef")
    assert format_model_name(config) == "minilm:2@3?prompt=sts"
    name = format_model_name(config, with_dim=True, with_fingerprint=True)
    assert name == "minilm:2@3?dim=64&prompt=sts&fingerprint=0123456789abcdef"
    assert parse_model_name(name) == config
    assert parse_model_name(name).fingerprint == fingerprint_of(name) == config.fingerprint
    assert encoder_of(name) == "minilm:2"
    unrecorded = EmbeddingConfig("minilm")
    assert format_model_name(unrecorded, with_fingerprint=True) == "minilm"
    assert fingerprint_of("minilm?dim=64") is None


@pytest.mark.parametrize("name", ["a?dim=", "a?dim=0", "a?dim=-8", "a?dim=x", "a?dim=100000", "a?dim=8.0"])
def test_what_is_no_dim(name: str) -> None:
    with pytest.raises(DimNotOffered, match=r"dim in the encoder's name is not a number.*\?dim=64"):
        parse_model_name(name)
