from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from nestvec.service.api.tei import MAX_TOKENIZED_CHARACTERS


def test_the_root_is_embed_too(service: str) -> None:
    """Where Hugging Face's clients post to (text-embeddings-inference: POST /)."""
    rows = [httpx.post(f"{service}{path}", json={"inputs": "w1"}).json() for path in ("/", "/embed")]
    assert np.array_equal(*rows)


def test_what_an_answer_took_is_in_the_headers(service: str) -> None:
    headers = httpx.post(f"{service}/embed", json={"inputs": ["w1 w2", "w3"]}).headers
    assert headers["x-compute-tokens"] == "7"
    assert headers["x-compute-characters"] == "7"
    assert headers["x-total-time"].isdigit()


def test_tokens_with_their_characters(service: str) -> None:
    answer = httpx.post(f"{service}/tokenize", json={"inputs": "größe w1"})
    assert answer.json() == [
        [
            {"id": 2, "text": "[CLS]", "special": True, "start": None, "stop": None},
            {"id": 1, "text": "größe", "special": False, "start": 0, "stop": 5},
            {"id": 5, "text": "w1", "special": False, "start": 6, "stop": 8},
            {"id": 3, "text": "[SEP]", "special": True, "start": None, "stop": None},
        ]
    ]


def test_tokens_without_special_ones_and_after_a_prompt(service: str) -> None:
    body = {"inputs": ["w3", "w4 w5"], "add_special_tokens": False, "prompt_name": "query"}
    answer = httpx.post(f"{service}/tokenize?encoder=tiny", json=body)
    assert [[token["id"] for token in tokens] for tokens in answer.json()] == [[5, 7], [5, 8, 9]]


def test_a_long_text_is_spelled_whole(service: str) -> None:
    answer = httpx.post(f"{service}/tokenize", json={"inputs": "w1 " * 1000})
    assert len(answer.json()[0]) == 1002


@pytest.mark.parametrize(
    ("body", "query", "status", "kind", "message"),
    [
        ({"inputs": []}, "", 400, "Empty", "there is no text"),
        ({"inputs": ["w1", ""]}, "", 400, "Empty", "a text is empty. Send at least one character"),
        ({"inputs": ["w1"] * 2049}, "", 422, "Validation", "at most 2048 texts: 2049"),
        ({"inputs": [[1]]}, "", 422, "Validation", "body.inputs[0] is invalid: a list, not a text"),
        ({"inputs": "w1"}, "?encoder=tinny", 404, "Validation", "Did you mean 'tiny'?"),
        ({"inputs": "w1", "prompt_name": "title"}, "", 422, "Validation", "has no prompt of this name"),
        (
            {"inputs": "w" * (MAX_TOKENIZED_CHARACTERS + 1)},
            "",
            422,
            "Validation",
            "Split the texts over several requests",
        ),
    ],
)
def test_what_tokenize_refuses(
    service: str, body: object, query: str, status: int, kind: str, message: str
) -> None:
    answer = httpx.post(f"{service}/tokenize{query}", json=body)
    assert (answer.status_code, answer.json()["error_type"]) == (status, kind)
    assert message in answer.json()["error"]


def test_sparse_vectors_are_not_offered(service: str) -> None:
    answer = httpx.post(f"{service}/embed_sparse", json={"inputs": ["w1"], "truncate": True})
    assert answer.status_code == 424
    assert answer.json()["error"].startswith("tiny is a dense encoder, which this path does not serve")
    assert httpx.post(f"{service}/embed_sparse", json={"inputs": []}).status_code == 400
    assert httpx.post(f"{service}/embed_sparse", json={}).status_code == 422


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/rerank", {"query": "w1", "texts": ["w1", "w2"], "truncate": True, "raw_scores": False}),
        ("/rerank", {"query": "w1", "documents": ["w1", "w2"], "truncate_prompt_tokens": 512}),
        ("/v1/rerank", {"query": "w1", "documents": [{"text": "w1"}, "w2"], "model": "tiny"}),
        ("/v2/rerank", {"query": "w1", "documents": ["w1"], "model": "tiny", "top_n": 1}),
    ],
)
def test_reranking_is_not_offered(service: str, path: str, body: object) -> None:
    answer = httpx.post(f"{service}{path}", json=body)
    assert answer.status_code == (424 if path == "/rerank" else 404)
    assert "no encoder of this service scores a query with a document: tiny. Rank by" in answer.text


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"query": "w1"},
            "must be in exactly one field: neither texts nor documents. Send texts as TEI does",
        ),
        (
            {"query": "w1", "texts": ["w1"], "documents": ["w1"]},
            "must be in exactly one field: both texts and documents",
        ),
        ({"query": "w1", "texts": []}, "there is no text. Send at least one"),
        ({"query": "", "texts": ["w1"]}, "the query is empty"),
        ({"texts": ["w1"]}, "body.query is invalid"),
        ({"query": "w1", "documents": ["w1"], "top_n": -1}, "body.top_n is invalid"),
    ],
)
@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_what_reranking_refuses(service: str, path: str, body: dict[str, Any], message: str) -> None:
    answer = httpx.post(f"{service}{path}", json=body)
    assert answer.status_code in (400, 422)
    assert message in answer.json()["error" if path == "/rerank" else "message"]


def test_info_tells_what_tei_tells(service: str) -> None:
    info = httpx.get(f"{service}/info").json()
    assert info["model_type"] == {"embedding": {"pooling": "mean"}}
    assert (info["max_client_batch_size"], info["auto_truncate"]) == (2048, True)
    assert info["settings"]["overlong"] == "truncate"


def test_an_empty_text_is_refused_also_behind_a_prompt(service: str) -> None:
    answer = httpx.post(f"{service}/embed", json={"inputs": [""], "prompt_name": "query"})
    assert (answer.status_code, answer.json()["error_type"]) == (400, "Empty")


@pytest.mark.parametrize(
    "body", [{"input": "w1", "encoding_format": None}, {"input": "w1", "dimensions": "16"}]
)
def test_openai_with_null_format_and_dimensions_as_text(service: str, body: object) -> None:
    answer = httpx.post(f"{service}/v1/embeddings", json=body)
    assert len(answer.json()["data"][0]["embedding"]) == 16
