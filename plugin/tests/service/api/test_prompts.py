"""Prompts by name on every face, and the checkpoint's default where none is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from nestvec.client.service_client import fetch_info
from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings

DIM = 16
PROMPTS = {"query": "w1 ", "document": "w2 ", "Clustering": "w3 ", "s2s": "w4 w5 ", "plain": ""}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, write_into: Callable[..., Path]) -> Iterator[str]:
    """A service with ``many``, which has prompts and a default, ``bare`` without any, and ``words``."""
    models = tmp_path_factory.mktemp("prompts") / "models"
    write_into(models, "many", prompts=PROMPTS, default_prompt="s2s")
    write_into(models, "bare", prompts={})
    write_into(models, "words", kind="sparse", dims=(DIM,), layers=(4,), normalised=False, prompts=PROMPTS)
    engine = FakeEngine({"many": DIM, "bare": DIM, "words": DIM})
    embedder = Embedder(open_encoders(models), engine, ServiceSettings())
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as served:
        yield served


def post(address: str, path: str, **body: object) -> Any:
    answer = httpx.post(f"{address}{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def embed(address: str, text: str, query: str = "encoder=many", **body: object) -> list[float]:
    (row,) = post(address, f"/embed?{query}", inputs=text, **body)
    return list(row)


def bare(address: str, text: str) -> list[float]:
    """The vector of exactly this text: both encoders have the same weights."""
    return embed(address, text, "encoder=bare")


@pytest.mark.parametrize("name", [*PROMPTS])
def test_each_name_puts_its_prompt_on_every_face(address: str, name: str) -> None:
    expected = bare(address, f"{PROMPTS[name]}w9")
    assert embed(address, "w9", prompt_name=name) == expected
    assert embed(address, "w9", f"encoder=many&prompt={name}") == expected
    assert embed(address, "w9", f"encoder=many%3Fprompt%3D{name}") == expected
    (row,) = post(address, "/v1/embeddings", input="w9", model="many", prompt_name=name)["data"]
    assert row["embedding"] == expected
    (row,) = post(address, "/v1/embeddings", input="w9", model=f"many?prompt={name}")["data"]
    assert row["embedding"] == expected
    cohere = post(
        address, "/v2/embed", texts=["w9"], model=f"many?prompt={name}", input_type="classification"
    )
    assert cohere["embeddings"]["float"] == [expected]
    sparse = post(address, "/embed_sparse?encoder=words", inputs="w9", prompt_name=name)
    assert sparse == post(address, "/embed_sparse?encoder=words", inputs=f"{PROMPTS[name]}w9", prompt_name="")
    tokens = post(address, "/tokenize?encoder=many", inputs="w9", prompt_name=name)
    texts = post(address, "/tokenize?encoder=bare", inputs=f"{PROMPTS[name]}w9")
    assert [token["id"] for token in tokens[0]] == [token["id"] for token in texts[0]]


def test_the_openai_client_sends_a_prompts_name(address: str) -> None:
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none")
    answer = client.embeddings.create(input="w9", model="many", extra_body={"prompt_name": "Clustering"})
    np.testing.assert_allclose(answer.data[0].embedding, bare(address, "w3 w9"), atol=1e-7)


def test_the_default_prompt_applies_where_none_is_named(address: str) -> None:
    expected = bare(address, "w4 w5 w9")
    assert embed(address, "w9") == expected
    (row,) = post(address, "/v1/embeddings", input="w9", model="many")["data"]
    assert row["embedding"] == expected
    assert (
        embed(address, "w9", prompt_name="")
        == embed(address, "w9", "encoder=many&prompt=")
        == bare(address, "w9")
    )


@pytest.mark.parametrize("prompt", ["w1 ", "w2 ", "w3 ", "w4 w5 "])
def test_a_prompt_is_not_put_before_another(address: str, prompt: str) -> None:
    """Milvus puts a function's prompts before the texts itself and names none."""
    assert embed(address, f"{prompt}w9") == bare(address, f"{prompt}w9")


def test_token_ids_have_no_prompt(address: str) -> None:
    assert post(address, "/embed?encoder=many", inputs=[2, 13, 3]) == [bare(address, "w9")]
    answer = httpx.post(f"{address}/embed?encoder=many&prompt=s2s", json={"inputs": [2, 13, 3]})
    assert (answer.status_code, "before text" in answer.text) == (422, True)


def test_a_fields_own_prompts_are_those_of_the_roles(address: str) -> None:
    """As the endpoint of a field says, whose clients call a text a query or a document."""
    query = "encoder=many&prompt=Clustering&query_prompt=s2s"
    assert embed(address, "w9", query, prompt_name="document") == bare(address, "w3 w9")
    assert embed(address, "w9", query, prompt_name="query") == bare(address, "w4 w5 w9")
    assert embed(address, "w9", "encoder=many&prompt=Clustering", prompt_name="query") == bare(
        address, "w3 w9"
    )
    for input_type, text in (("search_query", "w4 w5 w9"), ("search_document", "w3 w9")):
        model = "many?prompt=Clustering&query_prompt=s2s"
        rows = post(address, "/v2/embed", texts=["w9"], model=model, input_type=input_type)
        assert rows["embeddings"]["float"] == [bare(address, text)]


@pytest.mark.parametrize(
    ("input_type", "text"),
    [("search_query", "w1 w9"), ("search_document", "w2 w9"), ("clustering", "w3 w9")],
)
def test_coheres_input_types_are_roles_and_tasks(address: str, input_type: str, text: str) -> None:
    rows = post(address, "/v2/embed", texts=["w9"], model="many", input_type=input_type)
    assert rows["embeddings"]["float"] == [bare(address, text)]


def test_an_encoder_without_prompts_takes_every_input_type(address: str) -> None:
    rows = post(address, "/v2/embed", texts=["w9"], model="bare", input_type="classification")
    assert rows["embeddings"]["float"] == [bare(address, "w9")]


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        (
            "/embed?encoder=many",
            {"inputs": "w9", "prompt_name": "clustering"},
            422,
            "no prompt of this name: clustering. Available: query, document, Clustering, plain, s2s. "
            "Did you mean 'Clustering'?",
        ),
        ("/embed?encoder=many&prompt=s2p", {"inputs": "w9"}, 422, "Did you mean 's2s'?"),
        ("/embed?encoder=many&query_prompt=s2p", {"inputs": "w9", "prompt_name": "query"}, 422, "'s2s'?"),
        ("/embed_sparse?encoder=words", {"inputs": "w9", "prompt_name": "s2p"}, 422, "Did you mean 's2s'?"),
        ("/tokenize?encoder=many", {"inputs": "w9", "prompt_name": "s2p"}, 422, "Did you mean 's2s'?"),
        (
            "/v1/embeddings",
            {"input": "w9", "model": "many", "prompt_name": "s2p"},
            400,
            "Did you mean 's2s'?",
        ),
        ("/v1/embeddings", {"input": "w9", "model": "many?task=s2p"}, 400, "Write ENCODER?prompt=NAME"),
        (
            "/v2/embed",
            {"texts": ["w9"], "model": "many", "input_type": "classification"},
            422,
            "many has no prompt for this task: classification. Available: query, document, Clustering, plain",
        ),
        (
            "/embed?encoder=many&prompt=s2s",
            {"inputs": "w9", "prompt_name": "Clustering"},
            422,
            "different prompts: prompt_name=Clustering, prompt=s2s",
        ),
        (
            "/v1/embeddings?encoder=many&prompt=s2s",
            {"input": "w9", "model": "many?prompt=Clustering"},
            400,
            "the request names different prompts: prompt=s2s, model=many?prompt=Clustering",
        ),
    ],
)
def test_what_is_refused(address: str, path: str, body: dict[str, object], status: int, message: str) -> None:
    answer = httpx.post(f"{address}{path}", json=body)
    assert answer.status_code == status, answer.text
    assert message in answer.json().get("message", str(answer.json().get("error")))


def test_info_lists_the_prompts_and_the_default(address: str) -> None:
    encoders = fetch_info(address).encoders
    assert (encoders["many"].prompts, encoders["many"].default_prompt) == (PROMPTS, "s2s")
    assert (encoders["bare"].prompts, encoders["bare"].default_prompt) == ({}, None)
