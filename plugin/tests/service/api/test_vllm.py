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
@pytest.mark.parametrize("names", [("text_1", "text_2"), ("queries", "documents")])
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
    ],
)
def test_what_is_refused(service: str, path: str, body: dict[str, object], message: str) -> None:
    refused = httpx.post(f"{service}{path}", json=body)
    assert refused.status_code == 400
    assert message in refused.json()["error"]["message"]


def test_openai_s_client_lists_the_models(service: str) -> None:
    client = openai.OpenAI(api_key="none", base_url=f"{service}/v1")
    (model,) = client.models.list().data
    assert (model.id, model.object, model.owned_by) == ("tiny", "model", "nestvec")
    assert client.models.retrieve("tiny").id == "tiny"
    exact = client.models.retrieve("tiny@2").model_dump()
    assert (exact["id"], exact["root"], exact["max_model_len"]) == ("tiny@2", "tiny", 8)
    with pytest.raises(openai.NotFoundError, match="no encoder of this name: gpt-4"):
        client.models.retrieve("gpt-4")
