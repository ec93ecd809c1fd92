from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec_schemas.errors import ExitNotOffered
from nestvec_schemas.manifest import ENCODER_NAME, EXPERT_NAME
from nestvec_schemas.model_name import named, parted


@given(
    st.from_regex(ENCODER_NAME, fullmatch=True),
    st.none() | st.integers(1, 9999),
    st.none() | st.from_regex(EXPERT_NAME, fullmatch=True),
)
def test_a_name_is_read_back(encoder: str, exit: int | None, expert: str | None) -> None:
    assert parted(named(encoder, exit, expert)) == (encoder, exit, expert)


def test_an_expert_stands_before_an_exit() -> None:
    assert named("minilm", 3, "biomed") == "minilm@biomed@3"
    assert parted("minilm@biomed") == ("minilm", None, "biomed")
    assert parted("minilm@3") == ("minilm", 3, None)


@pytest.mark.parametrize(
    "name",
    ["a@", "a@0", "a@03", "a@-1", "a@3@4", "a@3.0", "a@\u0663", "a@10000", "a@x@", "a@3@x", "a@x@y", "a@é"],
)
def test_what_is_no_layer_and_no_expert(name: str) -> None:
    with pytest.raises(ExitNotOffered, match=r"is no layer.*Write ENCODER@EXPERT@LAYER, for example minilm@"):
        parted(name)
