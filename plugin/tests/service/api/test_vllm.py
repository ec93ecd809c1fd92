"""vLLM's pooling and scores, and the list of models."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from nestvec_schemas.vectors import cosines


def tei(service: str, **body: object) -> Any:
    return np.float32(httpx.post(f"{service}/embed", json=body).json())


def post(address: str, **body: object) -> Any:
    response = httpx.post(address, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_pooling_gives_vectors(service: str) -> None:
    pooled = post(f"{service}/pooling", model="tiny@2", input=["w1", "w2 w3"], dimensions=8)
    assert (pooled["object"], pooled["model"]) == ("list", "tiny@2")
    assert [item["object"] for item in pooled["data"]] == ["pooling", "pooling"]
    expected = tei(service, inputs=["w1", "w2 w3"], dimensions=8, exit=2)
    assert np.array_equal(np.float32([item["data"] for item in pooled["data"]]), expected)
    packed = post(f"{service}/pooling", input="w1", encoding_format="base64")["data"][0]["data"]
    assert np.array_equal(np.frombuffer(base64.b64decode(packed), "<f4"), tei(service, inputs="w1")[0])


@pytest.mark.parametrize("path", ["/score", "/v1/score"])
@pytest.mark.parametrize(
    "names", [("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2")]
)
def test_scores_are_in_the_order_of_the_texts(service: str, path: str, names: tuple[str, str]) -> None:
    body: dict[str, object] = {names[0]: "w2", names[1]: ["w3", "", "w2"]}
    scored = post(f"{service}{path}", model="tiny", **body)
    source, other = tei(service, inputs=["w2", "w3"])
    expected = [cosines(source[None], other[None])[0], -1.0, 1.0]
    assert [item["score"] for item in scored["data"]] == pytest.approx(expected, abs=1e-6)
    assert [item["index"] for item in scored["data"]] == [0, 1, 2]
    (single,) = post(f"{service}{path}", **{names[0]: ["w2"], names[1]: "w2"})["data"]
    assert single["score"] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/score", {"text_1": "w1"}, "one of the two texts is missing"),
        ("/score", {"text_1": "w1", "queries": "w2", "text_2": "w3"}, "the texts to score are in two fields"),
        ("/score", {"text_1": "w1", "text_2": "w2", "documents": ["w3"]}, "are in two fields"),
        ("/score", {"text_1": ["w1", "w2"], "text_2": ["w1", "w2"]}, "only one text is scored"),
        ("/score?dim=8", {"text_1": "w1", "text_2": "w2"}, "scores have no dims to choose from: 8"),
        ("/score", {"model": "tiny?dim=8", "text_1": "w1", "text_2": "w2"}, "no dims to choose from: 8"),
        ("/pooling", {"input": [2, 5, 3]}, "--accept-token-ids"),
        ("/pooling", {"input": "w1", "normalize": False}, "normalised or not by use_activation"),
        ("/pooling", {"input": "w1", "add_special_tokens": False}, "with the special tokens"),
        ("/pooling", {"input": "w1", "task": "classify"}, "this path does not have the task: classify"),
        ("/pooling", {"input": "w1", "task": "token_embed"}, "tiny is a dense encoder"),
        ("/pooling", {"input": "w1", "endianness": "big"}, "endianness"),
        ("/pooling", {"input": "w1", "embed_dtype": "float16"}, "embed_dtype"),
        (
            "/score",
            {"text_1": "w1", "text_2": "w2", "truncation_side": "left", "truncation_direction": "Right"},
            "different sides of truncation",
        ),
        ("/classify", {"input": "w1"}, "no encoder of this service classifies texts: /classify"),
    ],
)
def test_what_is_refused(service: str, path: str, body: dict[str, object], message: str) -> None:
    refused = httpx.post(f"{service}{path}", json=body)
    assert refused.status_code in (400, 404)
    assert message in refused.json()["error"]["message"]


def test_tei_s_predict_is_refused_as_tei_refuses(service: str) -> None:
    refused = httpx.post(f"{service}/predict", json={"inputs": "w1"})
    assert refused.status_code == 424
    assert refused.json()["error"].startswith("no encoder of this service classifies texts: /predict.")


LONG = " ".join(f"w{number}" for number in range(20))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("path", "field"), [("/pooling", "data"), ("/v1/embeddings", "embedding")])
def test_the_side_of_truncation(service: str, path: str, field: str, side: str) -> None:
    (row,) = post(f"{service}{path}", input=LONG, truncate_prompt_tokens=-1, truncation_side=side)["data"]
    expected = tei(service, inputs=LONG, truncate=True, truncation_direction=side.capitalize())
    assert np.array_equal(np.float32([row[field]]), expected)
    other = tei(
        service, inputs=LONG, truncate=True, truncation_direction="Left" if side == "right" else "Right"
    )
    assert not np.array_equal(expected, other)


@pytest.mark.parametrize("path", ["/pooling", "/v1/embeddings"])
def test_a_query_string_precedes_the_body_s_truncation(service: str, path: str) -> None:
    body = {"input": LONG, "truncate_prompt_tokens": -1}
    assert httpx.post(f"{service}{path}?overlong=error", json=body).status_code == 400
    assert httpx.post(f"{service}{path}", json=body).status_code == 200


def test_openai_s_path_has_vllm_s_fields(service: str) -> None:
    """vLLM serves this path as well, and Milvus's ``vllm`` provider calls it."""
    body: dict[str, object] = {"input": "w1", "dimensions": 4, "add_special_tokens": True}
    (row,) = post(f"{service}/v1/embeddings", **body, use_activation=False)["data"]
    expected = tei(service, inputs="w1", dimensions=4, normalize=False)
    assert np.array_equal(np.float32([row["embedding"]]), expected)
    refused = httpx.post(f"{service}/v1/embeddings", json=body | {"add_special_tokens": False})
    assert refused.status_code == 400
    assert "add_special_tokens" in refused.json()["error"]["message"]


def test_vectors_that_are_not_normalised(service: str) -> None:
    body: dict[str, object] = {"input": "w1", "dimensions": 4, "task": "embed"}
    (pooled,) = post(f"{service}/pooling", **body, use_activation=False)["data"]
    expected = tei(service, inputs="w1", dimensions=4, normalize=False)
    assert np.array_equal(np.float32([pooled["data"]]), expected)
    assert np.linalg.norm(expected) < 0.99
    (normal,) = post(f"{service}/pooling", **body, use_activation=True)["data"]
    assert np.linalg.norm(normal["data"]) == pytest.approx(1, abs=1e-6)


def test_fields_that_change_nothing_are_ignored(service: str) -> None:
    ignored = {"user": "me", "priority": 0, "request_id": "x", "cache_salt": "s", "chat_template": None}
    (pooled,) = post(f"{service}/pooling", input="w1", add_special_tokens=True, **ignored)["data"]
    assert np.array_equal(np.float32([pooled["data"]]), tei(service, inputs="w1"))


def test_openai_s_client_lists_the_models(service: str) -> None:
    client = openai.OpenAI(api_key="none", base_url=f"{service}/v1")
    (model,) = client.models.list().data
    assert (model.id, model.object, model.owned_by) == ("tiny", "model", "nestvec")
    assert client.models.retrieve("tiny").id == "tiny"
    exact = client.models.retrieve("tiny@2").model_dump()
    assert (exact["id"], exact["root"], exact["max_model_len"]) == ("tiny@2", "tiny", 8)
    with pytest.raises(openai.NotFoundError, match="no encoder of this name: gpt-4"):
        client.models.retrieve("gpt-4")


@pytest.mark.parametrize("path", ["/pooling", "/v1/embeddings"])
def test_messages_of_a_chat_are_refused_by_name(service: str, path: str) -> None:
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "w1"}]}
    refused = httpx.post(f"{service}{path}", json=chat)
    assert refused.status_code in (400, 422)
    assert "messages of a chat are not embedded: messages. Send the texts as input." in refused.text
