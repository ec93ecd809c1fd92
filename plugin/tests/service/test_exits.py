"""The exit of a request: in the query string, in the body, in the model's name; in every face."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from nestvec.client.service_client import fetch_info
from nestvec.engines.fake import fake_vector

ASKS: dict[str, dict[str, object]] = {
    "/embed": {"inputs": ["w1"]},
    "/v1/embeddings": {"input": ["w1"]},
    "/v2/embed": {"texts": ["w1"], "input_type": "search_document"},
}
NAMES = {"/embed": "encoder", "/v1/embeddings": "model", "/v2/embed": "model"}


def vector(path: str, answer: httpx.Response) -> np.ndarray[Any, Any]:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    if path == "/v1/embeddings":
        assert body["model"].split("@")[0] == "tiny"
        return np.float32(body["data"][0]["embedding"])
    return np.float32(body[0] if path == "/embed" else body["embeddings"]["float"][0])


def expected(served: Any, exit: int) -> np.ndarray[Any, Any]:
    (tokens,) = served.embedder.encoders["tiny"].required_tokenizer.encode(["w1"])
    return fake_vector(tokens.ids, 16, exit)


@pytest.mark.parametrize("path", ASKS)
@pytest.mark.parametrize(
    ("query", "body", "name", "exit"),
    [
        ("", {}, None, 0),
        ("?exit=4", {}, None, 0),
        ("?exit=2", {}, None, 2),
        ("?encoder=tiny&exit=2", {}, "tiny", 2),
        ("?encoder=tiny@2", {}, None, 2),
        ("", {"exit": 2}, None, 2),
        ("?exit=2", {"exit": 2}, "tiny@2", 2),
        ("", {}, "tiny@2", 2),
        ("", {}, "tiny@4", 0),
        ("?encoder=tiny", {}, "tiny@2", 2),
        ("?encoder=tiny@2", {}, "tiny", 2),
        ("?encoder=tiny", {}, "gecko@001", 0),
    ],
)
def test_the_exit_is_asked_for_in_any_place(
    served: Any, path: str, query: str, body: dict[str, object], name: str | None, exit: int
) -> None:
    asked = ASKS[path] | body | ({} if name is None else {NAMES[path]: name})
    if (path, name) == ("/embed", "gecko@001"):  # whose body names an encoder of nestvec's
        answer = httpx.post(f"{served.address}{path}{query}", json=asked)
        assert answer.status_code == 422
        assert "encoder=tiny in the query string, encoder=gecko@001 in the body" in answer.json()["error"]
        return
    answer = httpx.post(f"{served.address}{path}{query}", json=asked)
    np.testing.assert_allclose(vector(path, answer), expected(served, exit), atol=1e-7)


@pytest.mark.parametrize("path", ASKS)
@pytest.mark.parametrize(
    ("query", "body", "name", "said"),
    [
        (
            "?exit=3",
            {},
            None,
            "tiny has no exit after this layer: 3. Available: 2, 4. Export it with --exits",
        ),
        ("?exit=0", {}, None, "after this layer: 0"),
        ("", {"exit": -1}, None, "after this layer: -1"),
        ("", {}, "tiny@7", "after this layer: 7"),
        ("", {}, "tiny@deep-", "tiny has no expert of this name: deep-. Available: none"),
        (
            "",
            {},
            "tiny@4@2",
            "is neither an expert nor a layer: tiny@4@2. Write ENCODER@EXPERT@LAYER",
        ),
        ("?expert=law", {}, "tiny@bio@2", "different experts: expert=law, encoder=tiny@bio@2"),
        ("?encoder=tiny@law", {}, "tiny@bio", "different experts: encoder=tiny@law, model=tiny@bio"),
        ("?exit=2", {"exit": 4}, None, "different exits: exit=2, exit=4. Name one"),
        ("?exit=2", {}, "tiny@4", "different exits: exit=2, encoder=tiny@4"),
        ("?encoder=tiny@2", {}, "tiny@4", "different exits: encoder=tiny@2, model=tiny@4"),
        ("?exit=deep", {}, None, "query.exit is invalid"),
    ],
)
def test_what_is_refused(
    service: str, path: str, query: str, body: dict[str, object], name: str | None, said: str
) -> None:
    asked = ASKS[path] | body | ({} if name is None else {NAMES[path]: name})
    answer = httpx.post(f"{service}{path}{query}", json=asked)
    assert answer.status_code == (422 if path == "/embed" else 400)
    assert said in answer.text


def test_openai_has_a_code_for_it(service: str) -> None:
    answer = httpx.post(f"{service}/v1/embeddings?exit=3", json=ASKS["/v1/embeddings"])
    assert answer.json()["error"]["code"] == "invalid_exit"


def test_exit_and_dim_go_together(served: Any) -> None:
    (row,) = httpx.post(f"{served.address}/embed?encoder=tiny&dim=4&exit=2", json={"inputs": "w1"}).json()
    whole = expected(served, 2)[:4]
    np.testing.assert_allclose(row, whole / np.linalg.norm(whole), atol=1e-6)


def test_tokens_have_no_exit_but_the_name_is_understood(service: str) -> None:
    answer = httpx.post(f"{service}/tokenize?encoder=tiny@2", json={"inputs": "w1"})
    assert [one["id"] for one in answer.json()[0]] == [2, 5, 3]


def test_info_and_metrics_tell_of_exits(served: Any) -> None:
    assert fetch_info(served.address).encoder("tiny", served.address).layers == (4, 2)
    httpx.post(f"{served.address}/embed?exit=2", json={"inputs": "w77 w78"})
    assert 'nestvec_exit_texts_total{encoder="tiny",exit="2"}' in httpx.get(f"{served.address}/metrics").text
