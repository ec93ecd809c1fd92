"""Pages in a browser, by the origins that are allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import AccessSettings, ServiceSettings

ORIGIN = "https://app.example.com"
PREFLIGHT = {
    "origin": ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type",
}


@pytest.fixture
def address(models_folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    keys = tmp_path / "keys.txt"
    keys.write_text("some-key\n")
    keys.chmod(0o600)
    access = AccessSettings(api_keys=keys, cors_origins=request.param)
    embedder = Embedder(
        open_encoders(models_folder), FakeEngine({"tiny": 16}), ServiceSettings(access=access)
    )
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        yield service


@pytest.mark.parametrize("address", [(ORIGIN,)], indirect=True)
def test_a_page_of_an_allowed_origin_may_call(address: str) -> None:
    preflight = httpx.options(f"{address}/embed", headers=PREFLIGHT)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in preflight.headers
    key = {"authorization": "Bearer some-key", "origin": ORIGIN}
    response = httpx.post(f"{address}/embed", json={"inputs": "w1"}, headers=key)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert "x-compute-tokens" in response.headers["access-control-expose-headers"]
    refused = httpx.post(f"{address}/embed", json={"inputs": "w1"}, headers={"origin": ORIGIN})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ORIGIN)


@pytest.mark.parametrize("address", [(ORIGIN,)], indirect=True)
def test_a_page_of_another_origin_may_not(address: str) -> None:
    elsewhere = {"origin": "https://app.example.com.evil.example"}
    preflight = httpx.options(f"{address}/embed", headers=PREFLIGHT | elsewhere)
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
    response = httpx.get(f"{address}/health", headers=elsewhere)
    assert (response.status_code, response.headers.get("access-control-allow-origin")) == (200, None)


@pytest.mark.parametrize("address", [("*",)], indirect=True)
def test_every_origin(address: str) -> None:
    response = httpx.get(f"{address}/health", headers={"origin": "https://anywhere.example"})
    assert response.headers["access-control-allow-origin"] == "*"
