from __future__ import annotations

import pytest

from nestvec.client.service_key import ServiceKey
from nestvec.milvus.rerank import check_rerank_column, rerank_params
from nestvec.milvus.server_version import parse_version
from nestvec_schemas.errors import SpecError, StoreRefused

SERVICE = "http://h:1"
TEI = {"reranker": "model", "provider": "tei", "max_client_batch_size": 64}


@pytest.mark.parametrize(
    ("version", "params"),
    [
        ("v2.6.0", TEI | {"endpoint": f"{SERVICE}?encoder=bge&deadline=8.4", "max_batch": 64}),
        ("v2.6.19", TEI | {"endpoint": f"{SERVICE}?encoder=bge&deadline=8.4"}),
        ("", TEI | {"endpoint": f"{SERVICE}?encoder=bge&deadline=8.4", "max_batch": 64}),
        ("v3.0.0", TEI | {"endpoint": f"{SERVICE}?encoder=bge&deadline=18.4", "timeout_ms": 60_000}),
    ],
)
def test_params_follow_the_version(
    version: str, params: dict[str, str | int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NESTVEC_API_KEY", raising=False)
    assert rerank_params(parse_version(version), SERVICE, "bge", 2048) == params
    few = rerank_params(parse_version(version), SERVICE, "bge", 20)
    assert few["max_client_batch_size"] == 20


def test_a_key_is_named_as_an_embeddings_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NESTVEC_API_KEY", "s3cret")
    monkeypatch.delenv("NESTVEC_CREDENTIAL", raising=False)
    with pytest.raises(SpecError, match="the entry's name is missing"):
        rerank_params(parse_version("v2.6.19"), SERVICE, "bge", 20)
    monkeypatch.setenv("NESTVEC_CREDENTIAL", "NestVec")
    params = rerank_params(parse_version("v2.6.19"), SERVICE, "bge", 20)
    assert params["credential"] == "nestvec"
    assert "s3cret" not in str(params)
    lite = rerank_params(parse_version("milvus_lite-3.2.2"), SERVICE, "bge", 20)
    assert (lite["provider"], lite["api_key"]) == ("cohere", "s3cret")
    with pytest.raises(StoreRefused, match=r"2\.6\.0 sends no API key.*v2\.6\.0\. Upgrade Milvus"):
        rerank_params(parse_version("v2.6.0"), SERVICE, "bge", 20, ServiceKey("k", "nestvec"))


@pytest.mark.parametrize("version", ["v3.0.0", "milvus_lite-3.2.2", "master-20260113-192af17f", ""])
def test_what_may_accept_a_nullable_column_is_asked(version: str) -> None:
    check_rerank_column("body", parse_version(version), nullable=True)


@pytest.mark.parametrize("version", ["v2.6.0", "v2.6.19", "2.6-20251010-5c1c17ea"])
def test_milvus_2_6_refuses_a_nullable_column(version: str) -> None:
    check_rerank_column("body", parse_version(version), nullable=False)
    with pytest.raises(StoreRefused, match=r"a column that may be NULL: body\. Rerank by a column that is"):
        check_rerank_column("body", parse_version(version), nullable=True)
