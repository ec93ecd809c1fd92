"""Clients of TEI, Hugging Face and Cohere as PyPI carries them, against the running service."""

from __future__ import annotations

from typing import Any

import cohere
import httpx
import numpy as np
import pytest
from huggingface_hub import InferenceClient
from tei_client.clients.http_client import HttpClient

LONG = " ".join(f"w{n}" for n in range(20))


def tei(service: str, **body: object) -> Any:
    return np.float32(httpx.post(f"{service}/embed", json=body).json())


def test_hugging_face(service: str) -> None:
    client = InferenceClient(model=service)
    rows = client.feature_extraction(["w1", "w2 w3"])  # type: ignore[arg-type]
    assert np.array_equal(rows, tei(service, inputs=["w1", "w2 w3"]))
    (row,) = client.feature_extraction("w1", dimensions=4, prompt_name="query", truncate=True)
    assert np.array_equal(row, tei(service, inputs="w1", dimensions=4, prompt_name="query")[0])


def test_tei_client(service: str) -> None:
    client = HttpClient(service)
    assert client.health()
    assert client.info().max_client_batch_size == 2048
    assert np.array_equal(np.float32(client.embed(["w1", "w2"])), tei(service, inputs=["w1", "w2"]))
    (result,) = client.tokenize("w1 w2")
    assert [token.text for token in result.tokens] == ["[CLS]", "w1", "w2", "[SEP]"]


@pytest.fixture
def client(service: str) -> cohere.ClientV2:
    return cohere.ClientV2(api_key="none", base_url=service)


def test_cohere(service: str, client: cohere.ClientV2) -> None:
    answer = client.embed(
        model="tiny",
        texts=["w1", "w2 w3"],
        input_type="search_query",
        embedding_types=["float", "int8"],
        output_dimension=8,
    )
    floats = np.float32(answer.embeddings.float_)
    assert np.array_equal(floats, tei(service, inputs=["w1", "w2 w3"], dimensions=8, prompt_name="query"))
    assert np.int8(answer.embeddings.int8).shape == (2, 8)
    assert answer.meta is not None
    assert answer.meta.billed_units is not None
    assert answer.meta.billed_units.input_tokens == 9


def test_cohere_errors(client: cohere.ClientV2) -> None:
    with pytest.raises(cohere.NotFoundError, match=r"no encoder of this name: embed-v4\.0"):
        client.embed(model="embed-v4.0", texts=["w1"], input_type="search_document")
    with pytest.raises(cohere.BadRequestError, match="truncation is off"):
        client.embed(model="tiny", texts=[LONG], input_type="search_document", truncate="NONE")
    with pytest.raises(cohere.NotFoundError, match="scores a query with a document"):
        client.rerank(model="tiny", query="w1", documents=["w1", "w2"])
    with pytest.raises(cohere.NotFoundError, match="scores a query with a document"):
        cohere.Client(api_key="none", base_url=client._client_wrapper.get_base_url()).rerank(
            model="tiny", query="w1", documents=["w1", "w2"]
        )
