from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import huggingface_hub.constants
import pytest

from nestvec_exporters.checkpoints.hub import fetch
from nestvec_schemas.errors import CheckpointNotFound

COMMIT = "0" * 39 + "1"


class NoSuchModel(BaseHTTPRequestHandler):
    """Answers as Hugging Face does for a model that is not there."""

    def do_GET(self) -> None:
        body = json.dumps({"error": "Repository not found"}).encode()
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), NoSuchModel) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    with hub() as address:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)


def test_a_model_that_the_hub_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with hub() as address:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        with pytest.raises(CheckpointNotFound, match=r"no such model.*: none/such\. .*HF_TOKEN"):
            fetch("none/such", ["*.json"], cache=tmp_path)
        with pytest.raises(CheckpointNotFound, match="with its owner"):
            fetch("such", ["*.json"], cache=tmp_path)


@pytest.mark.usefixtures("unreachable")
def test_no_hub_and_nothing_in_the_cache(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFound, match=r"cannot be downloaded.*none/such \(.*local folder"):
        fetch("none/such", ["*.json"], cache=tmp_path)


@pytest.mark.usefixtures("unreachable")
def test_no_hub_but_the_cache_has_it(tmp_path: Path) -> None:
    home = tmp_path / "models--some--encoder"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    (home / "snapshots" / COMMIT).mkdir(parents=True)
    (home / "snapshots" / COMMIT / "config.json").write_text("{}")
    folder = fetch("some/encoder", ["*.json"], cache=tmp_path)
    assert (folder / "config.json").read_text() == "{}"
