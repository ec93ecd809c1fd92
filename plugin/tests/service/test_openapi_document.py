"""The API key in the OpenAPI document, and the paths that need none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nestvec.engines.fake import FakeEngine
from nestvec.service.app import create_app
from nestvec.service.embedder import Embedder
from nestvec.service.middleware.api_keys import PUBLIC_PATHS
from nestvec.service.settings import AccessSettings, ServiceSettings


def document(**access: Any) -> dict[str, Any]:
    settings = ServiceSettings(access=AccessSettings(**access))
    return create_app(Embedder({}, FakeEngine({}), settings)).openapi()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.txt"
    path.write_text("some-key\n")
    path.chmod(0o600)
    return path


def test_the_bearer_scheme_is_always_described() -> None:
    schemes = document()["components"]["securitySchemes"]
    assert {name: (scheme["type"], scheme["scheme"]) for name, scheme in schemes.items()} == {
        "bearer": ("http", "bearer")
    }
    assert "security" not in document()


def test_with_keys_every_path_needs_one_but_those_of_probes(keys: Path) -> None:
    described = document(api_keys=keys)
    assert described["security"] == [{"bearer": []}]
    without = {
        path
        for path, operations in described["paths"].items()
        for operation in operations.values()
        if operation.get("security") == []
    }
    assert without == set(PUBLIC_PATHS)


def test_every_route_is_in_the_document() -> None:
    app = create_app(Embedder({}, FakeEngine({}), ServiceSettings()))
    paths = {"/", "/embed", "/embeddings", "/health", "/livez", "/readyz", "/metrics", "/info", "/tokenize"}
    assert paths <= set(app.openapi()["paths"])
