"""The playground's files as they are sent: off by default, without a key, and with a strict policy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import AccessSettings, ServiceSettings
from nestvec.service.ui import page

STATIC = Path(page.__file__).parent / "static"


@pytest.fixture
def playground(models_folder: Path, engine: FakeEngine, tmp_path: Path) -> Iterator[httpx.Client]:
    """A service with the page, and with keys."""
    keys = tmp_path / "keys.txt"
    keys.write_text("visitor-key\n")
    keys.chmod(0o600)
    settings = replace(ServiceSettings(), access=AccessSettings(api_keys=keys, ui=True))
    embedder = Embedder(open_encoders(models_folder), engine, settings)
    with (
        serve_in_thread(embedder, bind("127.0.0.1", 0)) as address,
        httpx.Client(base_url=address, trust_env=False) as client,
    ):
        yield client


def test_a_service_has_no_page_unless_it_is_wanted(service: str) -> None:
    for path in sorted(page.UI_PATHS):
        assert httpx.get(f"{service}{path}").status_code == 404


def test_the_page_needs_no_key_and_what_it_calls_does(playground: httpx.Client) -> None:
    for path in sorted(page.UI_PATHS):
        assert playground.get(path).status_code == 200
    assert playground.get("/info").status_code == 401
    assert playground.post("/embed", json={"inputs": "w1"}).status_code == 401
    assert playground.get("/ui/../info").status_code == 401
    key = {"authorization": "Bearer visitor-key"}
    for path in ("/ui/page.py", "/ui/../page.py", "/ui/%2e%2e/page.py", "/ui/"):
        assert playground.get(path, headers=key).status_code == 404


def test_every_file_is_sent_and_every_file_that_is_named_is_there(playground: httpx.Client) -> None:
    assert {path.name for path in STATIC.iterdir()} == {
        path.rpartition("/")[2].replace("ui", "index.html", 1) if path == "/ui" else path.rpartition("/")[2]
        for path in page.UI_PATHS
    }
    html = playground.get("/ui").text
    for name in re.findall(r'(?:src|href)="(ui/[^"]+)"', html):
        assert f"/{name}" in page.UI_PATHS
    for script in STATIC.glob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"', script.read_text()):
            assert f"/ui/{name}" in page.UI_PATHS


def test_the_policy_allows_nothing_but_the_service(playground: httpx.Client) -> None:
    for path in sorted(page.UI_PATHS):
        headers = playground.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert "unsafe" not in headers["content-security-policy"]
        assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-type"].endswith("; charset=utf-8")


def test_nothing_is_loaded_from_elsewhere_and_nothing_becomes_markup() -> None:
    elsewhere = re.compile(r"https?://|[\"'(]//|@import")
    unsafe = re.compile(
        r"(inner|outer)HTML|insertAdjacentHTML|document\.write|eval\(|(local|session)Storage|\.cookie"
        r"| style=| on\w+="
    )
    for file in STATIC.iterdir():
        for pattern in (elsewhere, unsafe):
            assert not pattern.search(file.read_text()), file.name


def test_a_file_that_did_not_change_is_not_sent_again(playground: httpx.Client) -> None:
    first = playground.get("/ui/app.js")
    again = playground.get("/ui/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert playground.head("/ui").status_code == 200
