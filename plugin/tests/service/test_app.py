from __future__ import annotations

import httpx
import pytest


def test_no_page_of_another_origin_may_read_an_answer(service: str) -> None:
    origin = {"origin": "https://elsewhere.example", "access-control-request-method": "POST"}
    answers = [
        httpx.post(f"{service}/embed", json={"inputs": "w1"}, headers=origin),
        httpx.options(f"{service}/embed", headers=origin),
        httpx.get(f"{service}/health", headers=origin),
    ]
    assert answers[1].status_code == 405
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_what_info_tells_of_the_settings_holds_no_secret(service: str) -> None:
    answer = httpx.get(f"{service}/info")
    assert "server" not in answer.headers
    assert "8001" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/embed", "POST"),
        ("PUT", "/v1/embeddings", "POST"),
        ("DELETE", "/v2/rerank", "POST"),
        ("POST", "/metrics", "GET"),
        ("POST", "/v1/models/tiny", "GET"),
        ("GET", "/models/tiny/pipeline/feature-extraction", "POST"),
        ("POST", "/docs", "GET"),
        ("PATCH", "/livez", "GET, HEAD"),
    ],
)
def test_another_method_is_refused_with_those_that_the_path_has(
    service: str, method: str, path: str, allowed: str
) -> None:
    answer = httpx.request(method, f"{service}{path}")
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert f"not with this method: {path}. Call it with {allowed.replace(', ', ' or ')}." in answer.text


def test_an_unknown_path_has_no_methods(service: str) -> None:
    answer = httpx.get(f"{service}/nope")
    assert (answer.status_code, answer.headers.get("allow")) == (404, None)
