from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.providers import Call, Endpoint, Provider, read_params, write_params
from nestvec_schemas.manifest import ENCODER_NAME

calls = st.builds(
    Call,
    service=st.sampled_from(["http://127.0.0.1:8080", "https://embeddings:443", "http://[::1]:9"]),
    encoder=st.from_regex(ENCODER_NAME, fullmatch=True),
    dim=st.integers(1, 8192),
    documents=st.text(max_size=20),
    queries=st.text(max_size=20),
)


@given(provider=st.sampled_from(get_args(Provider)), call=calls)
def test_what_is_written_is_read_back(provider: Provider, call: Call) -> None:
    written = write_params(provider, call)
    # Milvus describes every value as a string.
    described = {key: str(value) for key, value in written.items()}
    assert read_params(described) == Endpoint(provider, call.service, call.encoder)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"provider": "bedrock"},
        {"provider": "openai", "model_name": "text-embedding-3-small"},
        {"provider": "tei", "endpoint": "http://tei:80"},
    ],
)
def test_a_function_that_calls_somebody_else(params: dict[str, str]) -> None:
    assert read_params(params) is None
