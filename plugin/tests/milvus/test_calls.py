from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.client.service_client import EncoderInfo
from nestvec.client.service_key import ServiceKey
from nestvec.milvus.calls import DEFAULT_CHUNK, MilvusCalls, choose_chunk, credential_params
from nestvec.milvus.server_version import parse_version
from nestvec.milvus.tries import MAX_CHUNK, MIN_CHUNK, try_seconds
from nestvec_schemas.errors import SpecError


def info(**speed: Any) -> EncoderInfo:
    return EncoderInfo(dim=16, dims=(16,), max_tokens=256, prompts={}, **speed)


@given(st.floats(10, 3600))
def test_three_tries_fit_into_the_time_of_a_chunk(seconds: float) -> None:
    waits = 1.25 + 2.5  # 1 s and 2 s, each a quarter longer at most
    deadline = try_seconds(seconds)
    assert 3 * (deadline + 0.25) + waits <= seconds
    assert 3 * (deadline + 0.45) + waits >= seconds


@pytest.mark.parametrize(
    ("version", "deadline", "timeout"),
    [("v2.6.0", 8.4, None), ("", 8.4, None), ("v3.0.0", 18.4, 60_000), ("milvus_lite-3.2.2", 8.4, None)],
)
def test_time_follows_the_version(version: str, deadline: float, timeout: int | None) -> None:
    calls = MilvusCalls(parse_version(version))
    assert (calls.deadline, calls.timeout_ms) == (deadline, timeout)


@pytest.mark.parametrize(
    ("speed", "passes", "chunk"),
    [
        ({"recommended_chunk": 48}, 1, 48),
        ({"recommended_chunk": 48}, 4, MIN_CHUNK),
        ({"recommended_chunk": 400}, 1, 400),
        ({"recommended_chunk": 400}, 4, 100),
        ({"recommended_chunk": 5000}, 1, MAX_CHUNK),
        ({"recommended_chunk": 0}, 1, MIN_CHUNK),
        ({"tokens_per_second": 12_800.0}, 1, 420),
        ({}, 1, DEFAULT_CHUNK),
        ({}, 2, DEFAULT_CHUNK // 2),
    ],
)
def test_a_chunk_is_what_is_embedded_in_time(speed: dict[str, Any], passes: int, chunk: int) -> None:
    assert choose_chunk(info(**speed), passes) == chunk


def test_a_chunk_may_be_chosen_within_what_the_service_takes() -> None:
    assert choose_chunk(info(recommended_chunk=48), 4, chosen=2048, limit=2048) == 2048
    assert choose_chunk(info(recommended_chunk=400), 1, limit=100) == 100
    assert choose_chunk(info(recommended_chunk=400), 1, limit=MIN_CHUNK - 1) == MIN_CHUNK - 1
    for chosen in (0, -1, 2049, True, "64"):
        wrong: Any = chosen
        with pytest.raises(
            SpecError, match=r"this many texts in one request: .*Choose a chunk of 1 to 2,048"
        ):
            choose_chunk(info(), 1, chosen=wrong, limit=2048)


@pytest.mark.parametrize(
    ("version", "written"),
    [
        ("v2.6.0", "nestvec"),
        ("v2.6.19", "nestvec"),
        ("2.6-20251010-5c1c17ea", "nestvec"),
        ("v3.0.0", "NestVec"),
        ("3.0-20260601-abcdef12", "NestVec"),
    ],
)
def test_a_name_is_written_as_the_server_finds_it(
    version: str, written: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = ServiceKey("s3cret", credential="NestVec")
    assert credential_params(key, parse_version(version)) == {"credential": written}
    assert not caplog.records


def test_an_unknown_server_may_not_find_a_name_with_capitals(caplog: pytest.LogCaptureFixture) -> None:
    unknown = parse_version("master-20260113-192af17f")
    assert credential_params(ServiceKey("s3cret", "nestvec"), unknown) == {"credential": "nestvec"}
    assert not caplog.records
    assert credential_params(ServiceKey("s3cret", "NestVec"), unknown) == {"credential": "NestVec"}
    assert "in lower case, and finds no NestVec" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_key_without_a_name_is_refused() -> None:
    assert credential_params(None, parse_version("v2.6.19")) == {}
    with pytest.raises(SpecError, match=r"the entry's name is missing\. Put the key under credential"):
        credential_params(ServiceKey("s3cret"), parse_version("v2.6.19"))
