from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import httpx
import openai
import pytest

from nestvec.client.service_client import fetch_info
from nestvec.service.embedder import Embedder
from nestvec.service.middleware.api_keys import ApiKeys
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import AccessSettings
from nestvec_schemas.errors import ServiceError, ServiceRefused


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys.txt"
    path.write_text("# of the ingest team\nfirst-key\n\n  second-key  \n")
    path.chmod(0o600)
    return path


def test_each_key_of_the_file_and_no_other(path: Path) -> None:
    keys = ApiKeys(path)
    assert [keys.accepts(key) for key in (b"first-key", b"second-key")] == [True, True]
    assert not any(keys.accepts(key) for key in (b"", b"first-ke", b"first-key ", b"# of the ingest team"))


def test_a_changed_file_is_read_again_within_a_second(path: Path) -> None:
    clock = Clock()
    keys = ApiKeys(path, clock)
    path.write_text("third-key\n")
    clock.now = 0.9
    assert keys.accepts(b"first-key")
    clock.now = 1.1
    assert not keys.accepts(b"first-key")
    assert keys.accepts(b"third-key")


@pytest.mark.parametrize("content", [None, b"", b"# nobody\n", b"two words\n", b"\xff\xfe\n", b"k" * 70_000])
def test_a_broken_file_leaves_the_old_keys_in_force(
    path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    keys = ApiKeys(path, clock)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for clock.now in (2.0, 4.0):
        assert keys.accepts(b"first-key")
    (line,) = [one.getMessage() for one in caplog.records]
    assert line.startswith("the API keys were not reloaded: ")
    assert "two words" not in line
    assert "first-key" not in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory. Give a readable file"),
        ("# nobody\n", "there is no API key in .* Write one key per line"),
        ("fine\nnot fine\n", "line 2 of .* is not an API key. A key is printable ASCII without spaces"),
        ("k" * 70_000, "is larger than 65536 bytes. Give a file with one key per line"),
    ],
)
def test_a_file_that_holds_no_keys(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "keys.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ServiceError, match=message):
        ApiKeys(path)


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_a_file_that_everybody_can_read_is_warned_of(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ApiKeys(path)
    assert not caplog.records
    path.chmod(0o644)
    ApiKeys(path)
    assert "chmod 600" in caplog.text


def test_every_path_but_the_public_ones_wants_a_key(
    embedder: Embedder, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "nestvec")
    embedder.settings = replace(embedder.settings, access=AccessSettings(api_keys=path))
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        for public in ("/health", "/metrics"):
            assert httpx.get(f"{service}{public}").status_code == 200
        for private in ("/info", "/docs", "/openapi.json", "/nope", "/health/"):
            assert httpx.get(f"{service}{private}").status_code == 401
        for wrong in ({}, {"authorization": "Bearer nope"}, {"authorization": "Basic first-key"}):
            answer = httpx.post(f"{service}/embed", json={"inputs": "w1"}, headers=wrong)
            assert (answer.status_code, answer.json()["error_type"]) == (401, "Unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "Authorization: Bearer KEY" in answer.json()["error"]
        twice = [("authorization", "Bearer first-key"), ("authorization", "Bearer nope")]
        assert httpx.get(f"{service}/info", headers=twice).status_code == 401
        for scheme in ("Bearer", "bearer", "BEARER"):  # Cohere's clients write it in lower case
            answer = httpx.get(f"{service}/info", headers={"authorization": f"{scheme} second-key"})
            assert answer.status_code == 200
        assert fetch_info(service, "first-key").encoders
        with pytest.raises(ServiceRefused, match=r"requires an API key\. Set .*NESTVEC_API_KEY to one"):
            fetch_info(service)
        with pytest.raises(ServiceRefused, match=r"does not accept the API key\. Set"):
            fetch_info(service, "nope")
        client = openai.OpenAI(base_url=f"{service}/v1", api_key="nope", max_retries=0)
        with pytest.raises(openai.AuthenticationError) as refused:
            client.embeddings.create(input="w1", model="tiny")
        assert refused.value.code == "invalid_api_key"
    assert "-key" not in caplog.text
    assert "nope" not in caplog.text.replace("/nope", "")
