from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.milvus.calls import MilvusCalls
from nestvec.milvus.providers import (
    PROVIDERS,
    Endpoint,
    ProviderName,
    read_note,
    read_params,
    write_note,
)
from nestvec.milvus.server_version import parse_version
from nestvec_schemas.embedding_config import EmbeddingConfig, Prompts
from nestvec_schemas.errors import StoreRefused
from nestvec_schemas.manifest import ENCODER_NAME, EXPERT_NAME
from nestvec_schemas.model_name import parse_model_name

services = st.sampled_from(["http://127.0.0.1:8080", "https://embeddings:443", "http://[::1]:9"])
configs = st.builds(
    EmbeddingConfig,
    encoder=st.from_regex(ENCODER_NAME, fullmatch=True),
    dim=st.integers(1, 8192),
    exit=st.none() | st.integers(1, 999),
    expert=st.none() | st.from_regex(EXPERT_NAME, fullmatch=True),
    prompt=st.none() | st.text(max_size=20),
    query_prompt=st.none() | st.text(max_size=20),
    prompts=st.builds(
        Prompts, document=st.text(max_size=20), query=st.text(max_size=20), default=st.text(max_size=20)
    ),
)
naming = sorted(name for name, provider in PROVIDERS.items() if provider.has_own_address)


@given(name=st.sampled_from(naming), service=services, config=configs)
def test_what_is_written_is_read_back(name: ProviderName, service: str, config: EmbeddingConfig) -> None:
    params = PROVIDERS[name].write_params(service, config, MilvusCalls())
    # Milvus describes every value as a string.
    endpoint = read_params({key: str(value) for key, value in params.items()})
    # The openai provider's dim is the field's own.
    expected = config if name == "tei" else replace(config, dim=None)
    assert endpoint == Endpoint(name, service, expected)
    assert endpoint is not None
    sent = replace(config.prompts, default="")
    assert endpoint.config.prompts == (sent if endpoint.sends_prompts else Prompts())


@given(service=services, config=configs, source=st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True))
def test_a_note_is_read_back(service: str, config: EmbeddingConfig, source: str) -> None:
    note = write_note(service, config, source)
    assert read_note(note, "nestvec") == (source, Endpoint("nestvec", service, config))


@given(service=services, config=configs)
def test_cohere_params_do_not_say_which_service_it_is(service: str, config: EmbeddingConfig) -> None:
    params = PROVIDERS["cohere"].write_params(service, config, MilvusCalls())
    assert set(params) == {"provider", "model_name", "dim"}
    assert read_params(params) is None


def test_texts_of_a_request_and_rows_of_an_insert_are_read_back() -> None:
    calls = MilvusCalls(parse_version("v2.6.11"), 48)
    for name in naming:
        params = PROVIDERS[name].write_params("http://h:1", EmbeddingConfig("a", 8), calls)
        endpoint = read_params({key: str(value) for key, value in params.items()})
        assert endpoint is not None
        assert (endpoint.chunk, endpoint.max_insert_rows) == (48, 240)


@pytest.mark.parametrize(
    ("caller", "chunk", "rows"),
    [
        ("tei", 1024, 5120),
        ("tei", 2048, 5120),
        ("openai", None, 5120),
        ("cohere", 1024, 480),
        ("voyageai", None, 640),
        ("nestvec", None, 5120),
    ],
)
def test_rows_of_an_insert(caller: Any, chunk: int | None, rows: int) -> None:
    assert Endpoint(caller, "http://h:1", EmbeddingConfig("a"), chunk).max_insert_rows == rows


def test_a_function_of_tei_without_a_chunk_has_milvus_own() -> None:
    endpoint = read_params({"provider": "tei", "endpoint": "http://h:1?encoder=a"})
    assert endpoint is not None
    assert endpoint.max_insert_rows == 160
    malformed = {"provider": "tei", "endpoint": "http://h:1?encoder=a", "max_client_batch_size": "many"}
    assert read_params(malformed) is None


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("v2.6.0", "minilm?dim=64"),
        ("v2.6.8", "minilm?dim=64"),
        ("2.6.8-dev", "minilm?dim=64"),
        ("2.6-20251010-5c1c17ea", "minilm?dim=64"),
        ("", "minilm?dim=64"),
        ("v2.6.9", "minilm"),
        ("v3.0.0", "minilm"),
    ],
)
def test_the_name_has_the_dim_where_cohere_does_not_send_it(version: str, name: str) -> None:
    calls = MilvusCalls(parse_version(version))
    params = PROVIDERS["cohere"].write_params("http://h:1", EmbeddingConfig("minilm", 64), calls)
    assert (params["model_name"], params["dim"]) == (name, 64)


def test_milvus_3_waits_for_longer() -> None:
    config = EmbeddingConfig("minilm", 64)
    for version, timeout, deadline in (("v2.6.19", None, "8.4"), ("3.0.0-beta", 60_000, "18.4")):
        params = PROVIDERS["tei"].write_params("http://h:1", config, MilvusCalls(parse_version(version)))
        assert params.get("timeout_ms") == timeout
        assert str(params["endpoint"]).endswith(f"&deadline={deadline}")


def test_voyage_fills_int8_from_2_6_10_on() -> None:
    voyage = PROVIDERS["voyageai"]
    assert voyage.write_params("http://h:1", EmbeddingConfig("minilm@3", 64), MilvusCalls()) == {
        "provider": "voyageai",
        "model_name": "minilm@3",
        "dim": 64,
    }
    voyage.check_release(parse_version("v2.6.10"))
    voyage.check_release(parse_version("2.6-20251010-5c1c17ea"))
    with pytest.raises(StoreRefused, match=r"before 2\.6\.10 does not fill INT8_VECTOR fields: v2\.6\.9"):
        voyage.check_release(parse_version("v2.6.9"))


def test_a_fingerprint_is_read_back() -> None:
    config = EmbeddingConfig("minilm", 64, fingerprint="0123456789abcdef")
    for name in naming:
        endpoint = read_params(PROVIDERS[name].write_params("http://h:1", config, MilvusCalls()))
        assert endpoint is not None
        assert endpoint.config.fingerprint == "0123456789abcdef"
    note = read_note(write_note("http://h:1", config, "abstract"), "nestvec")
    assert note is not None
    assert note[1].config.fingerprint == "0123456789abcdef"


@pytest.mark.parametrize("name", ["openai", "cohere", "voyageai"])
def test_the_models_name_is_all_that_some_providers_send(name: ProviderName) -> None:
    config = EmbeddingConfig("minilm:2", 64, fingerprint="0123456789abcdef")
    model = str(written(name, config)["model_name"])
    assert parse_model_name(model).fingerprint == "0123456789abcdef"
    assert "fingerprint" not in str(written(name, EmbeddingConfig("minilm", 64))["model_name"])


def test_the_params_of_older_versions_are_read() -> None:
    params = written("openai", EmbeddingConfig("minilm", 64))
    for recorded in (None, "0123456789abcdef"):
        endpoint = read_params(params if recorded is None else params | {"fingerprint": recorded})
        assert endpoint is not None
        assert endpoint.config.fingerprint == recorded


def written(name: ProviderName, config: EmbeddingConfig) -> dict[str, str | int]:
    return PROVIDERS[name].write_params("http://h:1", config, MilvusCalls())


def test_params_as_each_provider_takes_them() -> None:
    config = EmbeddingConfig("minilm", 64, exit=3)
    assert written("cohere", config) == {"provider": "cohere", "model_name": "minilm@3?dim=64", "dim": 64}
    assert written("openai", config)["model_name"] == "minilm@3"
    assert written("tei", config)["endpoint"] == "http://h:1?encoder=minilm&dim=64&exit=3&deadline=8.4"
    note = "nestvec: http://h:1?encoder=minilm&dim=64&exit=3&source=abstract"
    assert write_note("http://h:1", config, "abstract") == note


def test_an_expert_travels_with_the_exit() -> None:
    config = EmbeddingConfig("minilm", 64, exit=3, expert="biomed")
    assert written("cohere", config)["model_name"] == "minilm@biomed@3?dim=64"
    assert written("openai", config)["model_name"] == "minilm@biomed@3"
    assert (
        written("tei", config)["endpoint"]
        == "http://h:1?encoder=minilm&dim=64&exit=3&expert=biomed&deadline=8.4"
    )


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


def test_milvus_puts_named_prompts_before_texts_and_the_service_none() -> None:
    texts = Prompts("c: ", "q: ")
    config = EmbeddingConfig("e5", 64, prompt="clustering", query_prompt="query", prompts=texts)
    assert written("tei", config) == {
        "provider": "tei",
        "endpoint": "http://h:1?encoder=e5&dim=64&prompt=&query_prompt=query&document_prompt=clustering"
        "&deadline=8.4",
        "max_client_batch_size": 256,
        "ingestion_prompt": "c: ",
        "search_prompt": "q: ",
    }
    default = EmbeddingConfig("e5", 64, prompts=Prompts("d: ", "q: ", "s: "))
    assert written("tei", default)["endpoint"] == "http://h:1?encoder=e5&dim=64&prompt=&deadline=8.4"


def test_prompts_are_in_the_model_name_of_the_providers_that_send_only_that() -> None:
    config = EmbeddingConfig("e5", 64, 3, prompt="clustering")
    assert written("openai", config)["model_name"] == "e5@3?prompt=clustering"
    assert written("cohere", config)["model_name"] == "e5@3?dim=64&prompt=clustering"


def test_milvus_lite_cannot_tell_queries_from_documents() -> None:
    lite = PROVIDERS["openai"]
    for config in (EmbeddingConfig("a"), EmbeddingConfig("a", prompt="x"), EmbeddingConfig("a", prompt="")):
        lite.check_prompts(config)
    lite.check_prompts(EmbeddingConfig("a", form="sparse", prompt="x", query_prompt="y"))
    for prompt, query_prompt, same in (
        ("x", "y", {"query_prompt": "x"}),
        (None, "y", {"prompt": "y"}),
        ("passage", None, {"query_prompt": "passage"}),
        ("", "y", {"query_prompt": ""}),
    ):
        config = EmbeddingConfig("a", prompt=prompt, query_prompt=query_prompt)
        ((key, name),) = same.items()
        step = f"their prompts differ.*Name one prompt for both, for example {key} '{name}', or"
        with pytest.raises(StoreRefused, match=step):
            lite.check_prompts(config)
        lite.check_prompts(replace(config, **same))
        PROVIDERS["tei"].check_prompts(config)
