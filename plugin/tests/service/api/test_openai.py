"""OpenAI's path: token ids of other tokenizers, fields that are not OpenAI's, and the model's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import AccessSettings, ServiceSettings

IDS = [[2, 5, 3], [[2, 5, 3], [2, 6, 3]]]


@pytest.fixture
def accepting(models_folder: Path) -> Iterator[str]:
    """A service that takes token ids."""
    settings = ServiceSettings(access=AccessSettings(accept_token_ids=True))
    embedder = Embedder(open_encoders(models_folder), FakeEngine({"tiny": 16}), settings)
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        yield address


def rows(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return np.float32([item["embedding"] for item in response.json()["data"]])


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
@pytest.mark.parametrize("ids", IDS)
def test_token_ids_are_refused_and_the_client_s_option_is_named(service: str, path: str, ids: object) -> None:
    refused = httpx.post(f"{service}{path}", json={"input": ids, "model": "tiny"})
    assert refused.status_code == 400
    message = refused.json()["error"]["message"]
    assert "OpenAIEmbeddings(check_embedding_ctx_length=False)" in message
    assert "--accept-token-ids" in message


@pytest.mark.parametrize("ids", IDS)
def test_token_ids_are_embedded_where_the_service_accepts_them(accepting: str, ids: object) -> None:
    embedded = rows(httpx.post(f"{accepting}/v1/embeddings", json={"input": ids, "model": "tiny"}))
    expected = httpx.post(f"{accepting}/embed", json={"inputs": ids}).json()
    assert np.array_equal(embedded, np.float32(expected))


@pytest.mark.parametrize(
    ("query", "model", "answered"),
    [("", "tiny", "tiny"), ("", "tiny@2", "tiny@2"), ("?encoder=tiny", "gpt", "tiny"), ("", None, "tiny")],
)
def test_the_response_names_the_model_that_the_request_named(
    service: str, query: str, model: str | None, answered: str
) -> None:
    response = httpx.post(f"{service}/v1/embeddings{query}", json={"input": "w1", "model": model})
    assert response.json()["model"] == answered


def test_fields_of_other_servers_are_ignored(service: str) -> None:
    """Those of vLLM, and what frameworks add."""
    plain = rows(httpx.post(f"{service}/v1/embeddings", json={"input": "w1"}))
    more = {
        "add_special_tokens": True,
        "priority": 0,
        "request_id": "a",
        "late_chunking": False,
        "task": "embed",
    }
    assert np.array_equal(plain, rows(httpx.post(f"{service}/v1/embeddings", json={"input": "w1", **more})))


@pytest.mark.parametrize(
    ("path", "body", "meant"),
    [
        ("/v1/embeddings", {"input": "w1", "dim": 4}, "dimensions"),
        ("/v1/embeddings", {"input": "w1", "encodingformat": "base64"}, "encoding_format"),
        ("/embed", {"inputs": "w1", "outputDimension": 4}, "dimensions"),
        ("/embed", {"inputs": "w1", "normalise": False}, "normalize"),
        ("/embed_sparse", {"inputs": "w1", "promptname": "query"}, "prompt_name"),
    ],
)
def test_a_misspelt_field_is_refused(service: str, path: str, body: dict[str, object], meant: str) -> None:
    refused = httpx.post(f"{service}{path}", json=body)
    assert refused.status_code in (400, 422)
    assert f"Did you mean '{meant}'?" in refused.text


@pytest.mark.parametrize("name", ["normalize", "normalized", "use_activation"])
def test_normalisation_has_three_names(service: str, name: str) -> None:
    url, body = f"{service}/v1/embeddings", {"input": "w1", "dimensions": 4}
    plain, raw = rows(httpx.post(url, json=body)), rows(httpx.post(url, json={**body, name: False}))
    assert not np.array_equal(plain, raw)
    assert np.allclose(plain, raw / np.linalg.norm(raw), atol=1e-6)
    assert np.array_equal(plain, rows(httpx.post(url, json={**body, name: True})))


@pytest.mark.parametrize(
    ("fields", "side"),
    [
        ({"truncate": "START"}, "Left"),
        ({"truncate": "END"}, "Right"),
        ({"truncate": True}, None),
        ({"truncate": "END", "truncation": True}, "Right"),
        ({"truncate": "END", "truncation_side": "left"}, "Left"),
    ],
)
def test_truncate_is_obeyed_as_nvidia_and_tei_have_it(
    service: str, fields: dict[str, object], side: str | None
) -> None:
    long = " ".join(f"w{number}" for number in range(20))
    embedded = rows(httpx.post(f"{service}/v1/embeddings", json={"input": long, **fields}))
    tei = {"inputs": long, "truncate": True} | ({} if side is None else {"truncation_direction": side})
    assert np.array_equal(embedded, np.float32(httpx.post(f"{service}/embed", json=tei).json()))


@pytest.mark.parametrize("fields", [{"truncate": "NONE"}, {"truncate": False}])
def test_a_long_text_is_refused_if_the_request_forbids_truncation(
    service: str, fields: dict[str, object]
) -> None:
    long = " ".join(f"w{number}" for number in range(20))
    refused = httpx.post(f"{service}/v1/embeddings", json={"input": long, **fields})
    assert refused.status_code == 400
    assert "truncation is off" in refused.text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"normalize": True, "use_activation": False}, "use_activation=false, normalize=true"),
        ({"truncate": "NONE", "truncation": True}, "truncation=true"),
        ({"truncate": False, "truncation": True}, "truncation=true, truncate=false"),
    ],
)
def test_two_names_that_disagree_are_refused(service: str, fields: dict[str, object], message: str) -> None:
    refused = httpx.post(f"{service}/v1/embeddings", json={"input": "w1", **fields})
    assert refused.status_code == 400
    assert message in refused.text
