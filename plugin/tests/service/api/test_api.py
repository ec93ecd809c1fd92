from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from nestvec.engines.fake import fake_vector
from nestvec.service.embedder import Embedder
from nestvec_schemas.errors import EngineError
from nestvec_schemas.vectors import nest

LONG = " ".join(f"w{n}" for n in range(20))


def vector(embedder: Embedder, text: str, dim: int) -> np.ndarray[Any, Any]:
    (tokens,) = embedder.encoders["tiny"].required_tokenizer.encode([text])
    return nest(fake_vector(tokens.ids, 16)[None], dim)[0]


def embed(service: str, query: str = "", **body: object) -> Any:
    answer = httpx.post(f"{service}/embed{query}", json=body)
    assert answer.status_code == 200, answer.text
    return np.array(answer.json(), np.float32)


def test_embed_answers_with_a_row_per_text(service: str, served: Any) -> None:
    rows = embed(service, inputs=["w1 w2", "w3"])
    assert np.array_equal(rows, [vector(served.embedder, text, 16) for text in ("w1 w2", "w3")])


@pytest.mark.parametrize("inputs", ["w1", ["w1"], [2, 5, 3], [[2, 5, 3]]])
def test_one_text_or_its_ids_is_a_2d_array_of_one_row(service: str, served: Any, inputs: object) -> None:
    assert np.array_equal(embed(service, inputs=inputs), [vector(served.embedder, "w1", 16)])


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("?encoder=tiny&dim=4", {}),
        ("", {"dimensions": 4}),
        ("?dim=4", {"dimensions": 4, "encoder": "tiny"}),
    ],
)
def test_the_dim_stands_in_the_query_string_or_in_the_body(
    service: str, served: Any, query: str, body: dict[str, object]
) -> None:
    (row,) = embed(service, query, inputs="w1", **body)
    assert np.array_equal(row, vector(served.embedder, "w1", 4))
    assert np.linalg.norm(row) == pytest.approx(1.0, abs=1e-6)


def test_truncated_but_not_normalised(service: str, served: Any) -> None:
    (row,) = embed(service, inputs="w1", dimensions=4, normalize=False)
    assert np.array_equal(row, vector(served.embedder, "w1", 16)[:4])


def test_a_prompt_is_put_before_the_text(service: str) -> None:
    with_prompt = embed(service, inputs="w2", prompt_name="query")
    assert np.array_equal(with_prompt, embed(service, inputs="w1 w2"))


def test_truncation_is_told_in_a_header(service: str) -> None:
    answer = httpx.post(f"{service}/embed", json={"inputs": [LONG, "w1"]})
    assert answer.headers["x-nestvec-truncated"] == "1"
    assert answer.headers["x-compute-tokens"] == "11"
    assert answer.headers["x-compute-characters"] == str(len(LONG) + 2)


REFUSED = [
    ({"inputs": []}, "", 400, "Empty", "there is no text. Send at least one"),
    ({"inputs": ["w1", ""]}, "", 400, "Empty", "a text is empty. Send at least one character"),
    ({"inputs": LONG, "truncate": False}, "", 422, "Validation", "more than the 8 tokens that tiny takes"),
    ({"inputs": ["w1"] * 2049}, "", 422, "Validation", "at most 2048 texts: 2049. Split them over several"),
    ({"inputs": "w1", "dimensions": 0}, "", 422, "Validation", "this many dims: 0. Choose from 1 to 16"),
    ({"inputs": "w1", "dimensions": 17}, "", 422, "Validation", "this many dims: 17. Choose from 1 to 16"),
    (
        {"inputs": "w1"},
        "?dim=many",
        422,
        "Validation",
        "query.dim is invalid: Input should be a valid integer",
    ),
    ({"inputs": "w1", "dimensions": 4}, "?dim=8", 422, "Validation", "different dims: dim=8, dimensions=4"),
    (
        {"inputs": "w1", "encoder": "other"},
        "?encoder=tiny",
        422,
        "Validation",
        "different encoders: encoder=tiny in the query string, encoder=other in the body. Name one of them.",
    ),
    ({"inputs": "w1"}, "?encoder=tinny", 404, "Validation", "Did you mean 'tiny'?"),
    ({"inputs": 3}, "", 422, "Validation", "body.inputs is invalid"),
    ({"inputs": [[2, -1]]}, "", 422, "Validation", "a token id is not in the encoder's vocabulary: -1"),
    ({"inputs": "w1", "prompt_name": "title"}, "", 422, "Validation", "no prompt of this name: title"),
    ({"inputs": [2], "prompt_name": "query"}, "", 422, "Validation", "a prompt goes before text"),
]


@pytest.mark.parametrize(("body", "query", "status", "kind", "message"), REFUSED)
def test_what_embed_refuses(
    service: str, body: object, query: str, status: int, kind: str, message: str
) -> None:
    answer = httpx.post(f"{service}/embed{query}", json=body)
    assert (answer.status_code, answer.json()["error_type"]) == (status, kind)
    assert message in answer.json()["error"]


@pytest.mark.parametrize(
    "body", [b"", b"nope", b'{"inputs":', b'{"inputs":"\xff"}', b"[" * 100_000, b'"text"', b"null"]
)
def test_a_body_that_is_not_a_json_object(service: str, body: bytes) -> None:
    answer = httpx.post(f"{service}/embed", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert "body" in answer.json()["error"]
    answer = httpx.post(
        f"{service}/v1/embeddings", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_body_with_another_content_type(service: str) -> None:
    answer = httpx.post(f"{service}/embed", data={"inputs": "w1"})
    assert answer.status_code == 415
    assert "The content type is application/json" in answer.json()["error"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit(service: str, served: Any, chunked: bool) -> None:
    limit = served.embedder.settings.load.body_bytes
    content: Any = (b" " * (1 << 20) for _ in range((limit >> 20) + 1)) if chunked else b" " * (limit + 1)
    answer = httpx.post(f"{service}/embed", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert f"larger than {limit} bytes" in answer.json()["error"]


def test_lone_surrogates_and_nul_are_embedded(service: str) -> None:
    answer = httpx.post(
        f"{service}/embed",
        content=rb'{"inputs":["\ud800","\u0000 w1"]}',
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 200
    assert np.isfinite(answer.json()).all()


def test_an_engine_failure_is_told_in_each_shape(service: str, served: Any) -> None:
    served.engine.failure = EngineError("the engine is out", next_step="Wait.")
    answer = httpx.post(f"{service}/embed", json={"inputs": "w77"})
    assert answer.status_code == 424
    assert answer.json() == {"error": "the engine is out. Wait.", "error_type": "Backend"}
    answer = httpx.post(f"{service}/v1/embeddings", json={"input": "w77"})
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"


def test_unknown_paths_and_methods(service: str) -> None:
    assert httpx.get(f"{service}/nope").status_code == 404
    assert httpx.get(f"{service}/embed").json()["error_type"] == "Validation"
    assert httpx.post(f"{service}/v1/nope", json={}).json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_the_openai_client_reads_the_same_vectors(service: str, served: Any, encoding: Any) -> None:
    client = openai.OpenAI(base_url=f"{service}/v1", api_key="none", max_retries=0)
    answer = client.embeddings.create(
        input=["w1", "w2 w3"], model="tiny", dimensions=8, encoding_format=encoding
    )
    assert [one.index for one in answer.data] == [0, 1]
    assert answer.usage.total_tokens == 7
    rows = [
        np.frombuffer(base64.b64decode(one.embedding), "<f4")
        if isinstance(one.embedding, str)
        else np.float32(one.embedding)
        for one in answer.data
    ]
    assert np.array_equal(rows, [vector(served.embedder, text, 8) for text in ("w1", "w2 w3")])


def test_the_openai_client_by_default_and_its_errors(service: str) -> None:
    client = openai.OpenAI(base_url=f"{service}/v1", api_key="none", max_retries=0)
    assert len(client.embeddings.create(input="w1", model="tiny").data[0].embedding) == 16
    with pytest.raises(openai.NotFoundError, match=r"no encoder of this name: text-embedding-3-small"):
        client.embeddings.create(input="w1", model="text-embedding-3-small")
    with pytest.raises(openai.BadRequestError, match=r"this many dims: 99"):
        client.embeddings.create(input="w1", model="tiny", dimensions=99)


def test_the_query_string_goes_before_the_model(service: str) -> None:
    answer = httpx.post(f"{service}/v1/embeddings?encoder=tiny", json={"input": "w1", "model": "gpt"})
    assert answer.json()["model"] == "tiny"


def test_info_and_health(service: str) -> None:
    info = httpx.get(f"{service}/info").json()
    assert info["model_id"] == "tests/tiny"
    assert info["max_input_length"] == 8
    assert info["encoders"]["tiny"]["dims"] == [16, 8, 4]
    assert httpx.get(f"{service}/health").status_code == 200


def test_the_docs_need_no_other_host(service: str) -> None:
    page = httpx.get(f"{service}/docs").text
    assert "swagger-ui" in page
    assert "https://" not in page
    paths = httpx.get(f"{service}/openapi.json").json()["paths"]
    assert set(paths) >= {
        "/embed",
        "/embed_sparse",
        "/embed_all",
        "/tokenize",
        "/rerank",
        "/info",
        "/v1/embeddings",
        "/v1/rerank",
        "/v2/embed",
        "/v2/rerank",
    }
