from __future__ import annotations

import httpx


def test_no_page_of_another_origin_may_read_an_answer(service: str) -> None:
    origin = {"origin": "https://elsewhere.example", "access-control-request-method": "POST"}
    answers = [
        httpx.post(f"{service}/embed", json={"inputs": "w1"}, headers=origin),
        httpx.options(f"{service}/embed", headers=origin),
        httpx.get(f"{service}/health", headers=origin),
    ]
    assert answers[1].status_code == 404
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_what_info_tells_of_the_settings_holds_no_secret(service: str) -> None:
    answer = httpx.get(f"{service}/info")
    assert "server" not in answer.headers
    assert "8001" not in answer.text
