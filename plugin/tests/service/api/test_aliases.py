"""An alias in every API: it selects its encoder, and the response names the model as it was requested."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from nestvec.engines.fake import FakeEngine
from nestvec.service.catalog.catalog import EncoderCatalog
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings

ALIAS = "text-embedding-3-small"
SLASHED = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture
def service(models_folder: Path) -> Iterator[str]:
    embedder = Embedder(open_encoders(models_folder), FakeEngine({"tiny": 16}), ServiceSettings())
    assert isinstance(embedder.encoders, EncoderCatalog)
    embedder.encoders.set_aliases({ALIAS: "tiny", SLASHED: "tiny"})
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        yield address


@pytest.fixture
def expected(service: str) -> Any:
    return np.float32(httpx.post(f"{service}/embed?encoder=tiny", json={"inputs": ["w1"]}).json())


def post(address: str, **body: object) -> Any:
    response = httpx.post(address, json=body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("name", [ALIAS, SLASHED, "tiny"])
def test_openai_and_vllm_name_the_model_as_requested(service: str, expected: Any, name: str) -> None:
    client = openai.OpenAI(api_key="none", base_url=f"{service}/v1")
    response = client.embeddings.create(model=name, input="w1")
    assert response.model == name
    assert np.array_equal(np.float32([response.data[0].embedding]), expected)
    for path, body in (("/pooling", {"input": "w1"}), ("/score", {"text_1": "w1", "text_2": "w2"})):
        assert post(service + path, model=name, **body)["model"] == name


@pytest.mark.parametrize("path", ["/v1/embed", "/v2/embed"])
def test_cohere(service: str, expected: Any, path: str) -> None:
    body = {"model": ALIAS, "texts": ["w1"], "embedding_types": ["float"]}
    assert np.array_equal(np.float32(post(service + path, **body)["embeddings"]["float"]), expected)


@pytest.mark.parametrize("prefix", ["/models", "/hf-inference/models"])
def test_hugging_face_has_slashes_in_names(service: str, expected: Any, prefix: str) -> None:
    rows = post(f"{service}{prefix}/{SLASHED}/pipeline/feature-extraction", inputs=["w1"])
    assert np.array_equal(np.float32(rows), expected)
    cut = post(f"{service}{prefix}/{SLASHED}%3Fdim=4/pipeline/feature-extraction", inputs=["w1"])
    assert np.float32(cut).shape == (1, 4)


def test_tei_takes_one_in_the_query_string(service: str, expected: Any) -> None:
    rows = post(f"{service}/embed?encoder={ALIAS}", inputs=["w1"])
    assert np.array_equal(np.float32(rows), expected)


def test_models_lists_encoders_and_aliases(service: str) -> None:
    models = httpx.get(f"{service}/v1/models").json()["data"]
    assert {model["id"]: model["root"] for model in models} == {
        "tiny": "tiny",
        ALIAS: "tiny",
        SLASHED: "tiny",
    }
    assert httpx.get(f"{service}/v1/models/{SLASHED}").json()["id"] == SLASHED
