from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.service.names import named, parted
from nestvec_schemas.errors import ExitNotOffered
from nestvec_schemas.manifest import ENCODER_NAME


@given(st.from_regex(ENCODER_NAME, fullmatch=True), st.none() | st.integers(1, 9999))
def test_a_name_is_read_back(encoder: str, exit: int | None) -> None:
    assert parted(named(encoder, exit)) == (encoder, exit)


@pytest.mark.parametrize(
    "name", ["a@", "a@0", "a@03", "a@-1", "a@x", "a@3@4", "a@3.0", "a@\u0663", "a@10000"]
)
def test_what_is_no_layer(name: str) -> None:
    with pytest.raises(ExitNotOffered, match=r"is no layer.*Write ENCODER@LAYER, for example minilm@3"):
        parted(name)
