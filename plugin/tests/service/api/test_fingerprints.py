"""An endpoint with the fingerprint of another encoder is refused: two spaces do not mix in one field."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from nestvec.client.service_client import fetch_info
from nestvec.engines.fake import FakeEngine
from nestvec.service.catalog.catalog import EncoderCatalog
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings

BODIES: dict[str, dict[str, object]] = {
    "/embed": {"inputs": ["heat"]},
    "/v1/embeddings": {"input": ["heat"]},
    "/v2/embed": {"texts": ["heat"], "input_type": "search_document"},
    "/tokenize": {"inputs": ["heat"]},
    "/pooling": {"input": ["heat"]},
    "/score": {"text_1": "heat", "text_2": ["flow"]},
    "/similarity": {"inputs": {"source_sentence": "heat", "sentences": ["flow"]}},
    "/pipeline/feature-extraction": {"inputs": ["heat"]},
}

NAMING_A_MODEL = ("/v1/embeddings", "/v2/embed", "/pooling", "/score")
"""Paths whose body names the model, which is all that Milvus sends through some of its providers."""

OTHER = "0123456789abcdef"


@pytest.fixture
def aliased(models_folder: Path) -> Iterator[str]:
    embedder = Embedder(open_encoders(models_folder), FakeEngine({"tiny": 16}), ServiceSettings())
    assert isinstance(embedder.encoders, EncoderCatalog)
    embedder.encoders.set_aliases({"text-embedding-3-small": "tiny"})
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        yield address


def fingerprint_of(service: str) -> str:
    fingerprint = fetch_info(service).encoders["tiny"].fingerprint
    assert fingerprint is not None
    return fingerprint


def check_refused(response: httpx.Response, fingerprint: str) -> None:
    assert response.status_code == 404
    assert "tiny is another encoder than the one that the field was created with" in response.text
    assert f"fingerprint {fingerprint}, not {OTHER}" in response.text


@pytest.mark.parametrize("path", BODIES)
def test_a_request_for_the_encoder_of_before(service: str, path: str) -> None:
    body = BODIES[path]
    fingerprint = fingerprint_of(service)
    url = f"{service}{path}?encoder=tiny"
    assert httpx.post(url, json=body).status_code == 200
    assert httpx.post(f"{url}&fingerprint={fingerprint}", json=body).status_code == 200
    check_refused(httpx.post(f"{url}&fingerprint={OTHER}", json=body), fingerprint)


@pytest.mark.parametrize("path", [path for path in BODIES if path != "/tokenize"])
def test_a_response_says_which_encoder_answered(service: str, path: str) -> None:
    response = httpx.post(f"{service}{path}?encoder=tiny", json=BODIES[path])
    assert response.headers["x-nestvec-fingerprint"] == fingerprint_of(service)


@pytest.mark.parametrize("path", NAMING_A_MODEL)
@pytest.mark.parametrize("name", ["tiny", "text-embedding-3-small"])
def test_a_models_name_with_the_fingerprint_of_before(aliased: str, path: str, name: str) -> None:
    fingerprint, url, body = fingerprint_of(aliased), f"{aliased}{path}", BODIES[path]

    def post(fingerprint: str, query_string: str = "") -> httpx.Response:
        return httpx.post(url + query_string, json=body | {"model": f"{name}?fingerprint={fingerprint}"})

    assert post(fingerprint).status_code == 200
    check_refused(post(OTHER), fingerprint)
    # A cluster has one address for all its fields, and that address may name the encoder.
    assert post(fingerprint, "?encoder=tiny").status_code == 200
    check_refused(post(OTHER, "?encoder=tiny"), fingerprint)
    check_refused(post(OTHER, "?encoder=text-embedding-3-small"), fingerprint)


def test_two_fingerprints_in_one_request(service: str) -> None:
    fingerprint = fingerprint_of(service)
    body = {"input": ["heat"], "model": f"tiny?fingerprint={fingerprint}"}
    response = httpx.post(f"{service}/v1/embeddings?fingerprint={OTHER}", json=body)
    assert response.status_code == 400
    assert "the request names different fingerprints" in response.text
