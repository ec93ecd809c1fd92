from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.milvus.providers import (
    Call,
    Endpoint,
    Provider,
    read_note,
    read_params,
    write_note,
    write_params,
)
from nestvec_schemas.manifest import ENCODER_NAME, EXPERT_NAME

calls = st.builds(
    Call,
    service=st.sampled_from(["http://127.0.0.1:8080", "https://embeddings:443", "http://[::1]:9"]),
    encoder=st.from_regex(ENCODER_NAME, fullmatch=True),
    dim=st.integers(1, 8192),
    documents=st.text(max_size=20),
    queries=st.text(max_size=20),
    exit=st.none() | st.integers(1, 999),
    expert=st.none() | st.from_regex(EXPERT_NAME, fullmatch=True),
)
saying = sorted(set(get_args(Provider)) - {"cohere"})


@given(provider=st.sampled_from(saying), call=calls)
def test_what_is_written_is_read_back(provider: Provider, call: Call) -> None:
    written = write_params(provider, call)
    # Milvus describes every value as a string.
    described = {key: str(value) for key, value in written.items()}
    assert read_params(described) == Endpoint(provider, call.service, call.encoder, call.exit, call.expert)


@given(call=calls, source=st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True))
def test_a_note_is_read_back(call: Call, source: str) -> None:
    note = write_note(call, source)
    assert read_note(note, "nestvec") == (
        source,
        Endpoint("nestvec", call.service, call.encoder, call.exit, call.expert),
    )


@given(call=calls)
def test_cohere_params_do_not_say_which_service_it_is(call: Call) -> None:
    written = write_params("cohere", call)
    assert set(written) == {"provider", "model_name", "dim"}
    assert read_params(written) is None


def test_params_as_each_provider_takes_them() -> None:
    call = Call("http://h:1", "minilm", 64, exit=3)
    assert write_params("cohere", call) == {"provider": "cohere", "model_name": "minilm@3", "dim": 64}
    assert write_params("openai", call)["model_name"] == "minilm@3"
    assert write_params("tei", call)["endpoint"] == "http://h:1?encoder=minilm&dim=64&exit=3"
    assert write_note(call, "abstract") == "nestvec: http://h:1?encoder=minilm&dim=64&exit=3&source=abstract"


def test_an_expert_travels_with_the_exit() -> None:
    call = Call("http://h:1", "minilm", 64, exit=3, expert="biomed")
    assert write_params("cohere", call)["model_name"] == "minilm@biomed@3"
    assert write_params("openai", call)["model_name"] == "minilm@biomed@3"
    assert write_params("tei", call)["endpoint"] == "http://h:1?encoder=minilm&dim=64&exit=3&expert=biomed"


@pytest.mark.parametrize(
    "note",
    [
        "",
        "the vectors of the abstract",
        "nestvec: ",
        "nestvec: http://h:1?encoder=minilm",
        "nestvec: http://h:1?source=abstract",
        "nestvec: http://h:1?encoder=minilm&exit=deep&source=abstract",
        "nestvec: http://[h?encoder=minilm&source=abstract",
    ],
)
def test_a_description_about_something_else(note: str) -> None:
    assert read_note(note, "nestvec") is None


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"provider": "bedrock"},
        {"provider": "openai", "model_name": "text-embedding-3-small"},
        {"provider": "openai", "base_url": "http://h/v1", "model_name": "gecko@001"},
        {"provider": "tei", "endpoint": "http://tei:80"},
        {"provider": "tei", "endpoint": "http://tei:80?encoder=a&exit=b"},
        {"provider": "cohere", "model_name": "embed-v4.0"},
    ],
)
def test_a_function_that_calls_somebody_else(params: dict[str, str]) -> None:
    assert read_params(params) is None
