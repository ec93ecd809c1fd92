"""Hugging Face's pipelines, as Milvus 3.0's ``huggingface`` provider and ``InferenceClient`` call them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from huggingface_hub import InferenceClient

from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.vectors import cosines

LONG = " ".join(f"w{n}" for n in range(20))
MILVUS = "/hf-inference/models/{model}/pipeline/{task}"


def tei(service: str, **body: object) -> Any:
    return np.float32(httpx.post(f"{service}/embed", json=body).json())


def post(address: str, body: bytes | dict[str, object]) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", "authorization": "Bearer some-key"}
    response = httpx.post(address, content=data, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("tiny", {"dimensions": 16}),
        ("tiny?dim=8", {"dimensions": 8}),
        ("tiny?prompt=query", {"prompt_name": "query"}),
    ],
)
def test_as_go_milvus_writes_it(service: str, model: str, more: dict[str, object]) -> None:
    """Go's net/url escapes the model's question mark; dim, exit and prompt can be in the model alone."""
    address = service + MILVUS.format(model=quote(model, safe="@/"), task="feature-extraction")
    rows = post(address, b'{"inputs":["w2","w3 w4"],"normalize":true,"truncate":true}')
    assert np.array_equal(np.float32(rows), tei(service, inputs=["w2", "w3 w4"], **more))


def test_the_parameters_of_go_milvus(service: str) -> None:
    address = service + MILVUS.format(model="tiny", task="feature-extraction")
    body = (
        b'{"inputs":["%s"],"prompt_name":"query","truncate":true,"truncation_direction":"Left"}'
        % LONG.encode()
    )
    expected = tei(service, inputs=[LONG], prompt_name="query", truncate=True, truncation_direction="Left")
    assert np.array_equal(np.float32(post(address, body)), expected)
    plain = post(address, {"inputs": ["w1"], "normalize": False})
    assert np.array_equal(np.float32(plain), tei(service, inputs=["w1"], normalize=False))
    refused = httpx.post(address, json={"inputs": [LONG], "truncate": False})
    assert refused.status_code == 422
    assert "truncation is off" in refused.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/pipeline/feature-extraction",
        "/pipeline/feature-extraction/tiny",
        "/models/tiny",
        "/models/tiny/pipeline/feature-extraction",
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_every_path_of_feature_extraction(service: str, path: str, nested: bool) -> None:
    fields: dict[str, object] = {"prompt_name": "query", "dimensions": 4, "normalize": True}
    body = {"inputs": "w2", "parameters": fields} if nested else {"inputs": "w2", **fields}
    rows = post(service + path, {**body, "options": {"wait_for_model": True}})
    assert np.array_equal(np.float32(rows), tei(service, inputs="w2", prompt_name="query", dimensions=4))


@pytest.mark.parametrize("path", ["/models/tiny", "/embed", "/"])
@pytest.mark.parametrize("name", ["inputs", "parameters"])
def test_parameters_do_not_replace_the_inputs(service: str, path: str, name: str) -> None:
    body: dict[str, object] = {"inputs": "w2", "parameters": {name: [1, 2, None]}}
    response = httpx.post(f"{service}{path}", json=body)
    assert response.status_code == 422
    assert f"parameters.{name}. Send" in response.text


@pytest.mark.parametrize("path", ["/embed", "/", "/models/tiny"])
def test_parameters_are_obeyed_on_every_path_of_texts(service: str, path: str) -> None:
    body = {"inputs": "w2", "parameters": {"normalize": False, "dimensions": 4, "prompt_name": "query"}}
    rows = np.float32(httpx.post(f"{service}{path}", json=body).raise_for_status().json())
    assert np.array_equal(rows, tei(service, inputs="w2", normalize=False, dimensions=4, prompt_name="query"))
    assert not np.array_equal(rows, tei(service, inputs="w2", dimensions=4, prompt_name="query"))


@pytest.mark.parametrize(
    ("fields", "parameters", "message"),
    [
        ({"dimensions": 8}, {"dimensions": 4}, "two values of dimensions: 8 and 4"),
        ({"normalize": True}, {"normalize": False}, "two values of normalize"),
        ({}, {"dimension": 4}, "does not know: dimension. Did you mean 'dimensions'?"),
        ({}, {"prompt": "query"}, "does not know: prompt. Did you mean 'prompt_name'?"),
    ],
)
def test_parameters_that_would_be_ignored_are_refused(
    service: str, fields: dict[str, object], parameters: dict[str, object], message: str
) -> None:
    body = {"inputs": "w2", **fields, "parameters": parameters}
    refused = httpx.post(f"{service}/models/tiny", json=body, timeout=240)
    assert refused.status_code == 422
    assert message in refused.json()["error"]


def test_a_field_of_null_leaves_it_to_the_parameters(service: str) -> None:
    body: dict[str, object] = {"inputs": "w2", "dimensions": None, "parameters": {"dimensions": 4}}
    rows = post(f"{service}/models/tiny", body | {"normalize": True})
    assert np.array_equal(np.float32(rows), tei(service, inputs="w2", dimensions=4))


@pytest.mark.parametrize(
    "path", ["/similarity", "/pipeline/sentence-similarity", "/models/tiny/pipeline/sentence-similarity"]
)
def test_similarities_are_cosines(service: str, path: str) -> None:
    sentences = ["w2", "w3 w4", "", "w2 w5"]
    scores = post(service + path, {"inputs": {"source_sentence": "w2 w3", "sentences": sentences}})
    source, *others = tei(service, inputs=["w2 w3", "w2", "w3 w4", "w2 w5"])
    expected = cosines(np.array([source] * 3), np.array(others))
    assert scores == pytest.approx([expected[0], expected[1], -1.0, expected[2]], abs=1e-6)


def test_similarities_as_go_milvus_reranks_by_them(service: str) -> None:
    """Null and empty documents arrive as empty sentences; scores come in the order of the sentences."""
    address = service + MILVUS.format(model="tiny", task="sentence-similarity")
    body = b'{"inputs":{"source_sentence":"w2","sentences":["","w2","w3"]}}'
    scores = post(address, body)
    assert scores[0] == -1.0 < scores[2] < scores[1]
    assert scores[1] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("inputs", "status", "message"),
    [
        ("w1", 422, "a text, not an object with source_sentence and sentences"),
        ({"sentences": ["w1"]}, 422, "there is no source_sentence"),
        ({"source_sentence": "w1"}, 422, "there is no sentences"),
        ({"source_sentence": "w1", "sentences": "w2"}, 422, "inputs.sentences is invalid"),
        ({"source_sentence": "w1", "sentences": []}, 400, "there is no text"),
        ({"source_sentence": "", "sentences": ["w1"]}, 400, "the query is empty"),
    ],
)
def test_what_similarity_refuses(service: str, inputs: object, status: int, message: str) -> None:
    refused = httpx.post(f"{service}/similarity", json={"inputs": inputs})
    assert (refused.status_code, message in refused.json()["error"]) == (status, True), refused.text


def test_metrics_count_by_path_without_the_model(service: str) -> None:
    post(f"{service}/models/tiny", {"inputs": "w1"})
    lines = httpx.get(f"{service}/metrics").text.splitlines()
    (count,) = [line for line in lines if 'path="/models/{model:path}",status="200"' in line]
    assert float(count.split()[-1]) >= 1
    assert not [line for line in lines if "/models/tiny" in line]


def test_an_unknown_model_in_the_path(service: str) -> None:
    refused = httpx.post(f"{service}/models/sentence-transformers/other", json={"inputs": "w1"})
    assert refused.status_code == 404
    assert "no encoder of this name: sentence-transformers/other. Available: tiny" in refused.json()["error"]


def test_the_inference_client_with_the_address_of_a_model(service: str) -> None:
    client = InferenceClient(model=f"{service}/models/tiny")
    rows = client.feature_extraction(["w1", "w2 w3"], normalize=True)  # type: ignore[arg-type]
    assert np.array_equal(rows, tei(service, inputs=["w1", "w2 w3"]))
    similar = InferenceClient(model=f"{service}/models/tiny/pipeline/sentence-similarity")
    assert similar.sentence_similarity("w2", ["w2", "w3"])[0] == pytest.approx(1.0, abs=1e-6)


@pytest.fixture
def reranking(write_encoder: Any) -> Iterator[str]:
    """A service of a cross-encoder that cannot be embedded with."""
    folder: Path = write_encoder("cross", kind="reranker", dim=1, dims=(1,), layers=(1,), normalised=False)
    embedder = Embedder(open_encoders(folder.parent), FakeEngine({"cross": 1}), ServiceSettings())
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        yield address


def test_features_of_a_cross_encoder_are_refused(reranking: str) -> None:
    refused = httpx.post(f"{reranking}/models/cross", json={"inputs": "w1"})
    assert refused.status_code == 424
    assert "cross is a reranker encoder" in refused.json()["error"]
