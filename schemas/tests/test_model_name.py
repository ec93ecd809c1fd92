from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import ExitNotOffered
from nestvec_schemas.manifest import ENCODER_NAME, EXPERT_NAME
from nestvec_schemas.model_name import format_model_name, parse_model_name


@given(
    st.from_regex(ENCODER_NAME, fullmatch=True),
    st.none() | st.integers(1, 9999),
    st.none() | st.from_regex(EXPERT_NAME, fullmatch=True),
)
def test_a_name_is_read_back(encoder: str, exit: int | None, expert: str | None) -> None:
    config = EmbeddingConfig(encoder, exit=exit, expert=expert)
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
