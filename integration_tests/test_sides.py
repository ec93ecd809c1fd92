"""Encoders with more than one tower or output: exported and verified through the service's own code, served,
and searched in Milvus Lite; each against the checkpoint's own library."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from integration_tests.fixtures.services import Serve
from integration_tests.fixtures.side_checkpoints import QUERY_PROMPT, WRITERS
from pymilvus import MilvusClient
from sentence_transformers import MultiVectorEncoder, SentenceTransformer, SparseEncoder

import nestvec
from nestvec.service.verification import open_served
from nestvec_exporters import ExportOptions, export
from nestvec_schemas.late_interaction import maxsim
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.vectors import cosines

TEXTS = ["Heat", "flow of heat, in a plate.", "a " * 90, "Ünïcode (x); NASA and ENERGY", "Why? How!"]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints in folders of their names, and the model repository ``models`` with all of them."""
    work = tmp_path_factory.mktemp("sides")
    for name, write in WRITERS.items():
        write(work / name)
        export(ExportOptions(str(work / name / "saved"), work / "models", name), None, open_served)
    return work


@pytest.fixture(scope="module")
def service(sides: Path, serve: Serve) -> str:
    return serve(sides / "models")


def manifest_of(sides: Path, name: str) -> Manifest:
    return read_manifest(sides / "models" / name)


def library(sides: Path, name: str) -> Any:
    classes: dict[str, Any] = {"csr": SparseEncoder, "late": MultiVectorEncoder}
    kind = classes.get(name, SentenceTransformer)
    return kind(str(sides / name / "saved"), device="cpu", local_files_only=True)


def post(service: str, path: str, **body: Any) -> Any:
    answer = httpx.post(f"{service}{path}", json=body, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.json()


def vectors(service: str, name: str, texts: list[str], **body: Any) -> np.ndarray:
    return np.array(post(service, f"/embed?encoder={name}", inputs=texts, truncate=True, **body), np.float32)


@pytest.mark.parametrize("name", list(WRITERS))
def test_each_is_verified_as_it_is_served(sides: Path, name: str) -> None:
    verification = manifest_of(sides, name).verification
    assert verification.served
    assert verification.reference is not None
    assert verification.cosine_min >= 0.9999


@pytest.mark.parametrize("name", ["leaf", "tabled"])
def test_the_role_chooses_the_tower(sides: Path, service: str, name: str) -> None:
    model = library(sides, name)
    queries, documents = (encode(TEXTS) for encode in (model.encode_query, model.encode_document))
    assert cosines(queries, documents).max() < 0.99
    prompted = [f"{QUERY_PROMPT}{text}" for text in TEXTS]
    cohere = {
        side: np.array(
            post(service, "/v2/embed", model=name, texts=TEXTS, input_type=side)["embeddings"]["float"],
            np.float32,
        )
        for side in ("search_query", "search_document")
    }
    for served, expected in (
        (vectors(service, name, TEXTS, prompt_name="query"), queries),
        (vectors(service, name, prompted), queries),  # as Milvus's tei provider sends them
        (vectors(service, f"{name}@query", prompted), queries),
        (cohere["search_query"], queries),
        (vectors(service, name, TEXTS, prompt_name="document"), documents),
        (vectors(service, name, TEXTS), documents),
        (cohere["search_document"], documents),
    ):
        assert cosines(served, expected).min() >= 0.9999
    # A document that begins like a query, where the request says that it is one.
    served = vectors(service, name, prompted, prompt_name="document")
    assert cosines(served, model.encode_document(prompted)).min() >= 0.9999


def test_overlong_queries_are_not_chunked_by_the_documents_tokenizer(sides: Path, service: str) -> None:
    text = f"{QUERY_PROMPT}{'a b c ' * 60}"
    served = vectors(service, "leaf&overlong=mean", [text])
    expected = library(sides, "leaf").encode_query([text.removeprefix(QUERY_PROMPT)])
    assert cosines(served, expected).min() >= 0.9999


@pytest.mark.parametrize("name", ["leaf", "tabled"])
def test_sql_searches_by_the_query_towers_vectors(
    sides: Path, service: str, name: str, tmp_path: Path
) -> None:
    """Milvus Lite embeds what it stores; it cannot say which texts are queries."""
    texts = [f"{letter} {text}" for text in TEXTS for letter in "pqrs"]
    model = library(sides, name)
    (query,) = vectors(service, name, ["q heat"], prompt_name="query").tolist()
    with nestvec.connect(str(tmp_path / "sides.db"), service=service) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "CREATE TABLE papers (id BIGINT PRIMARY KEY, body TEXT, "
            f"v VECTOR(32) GENERATED ALWAYS AS (EMBED(body, '{name}')) STORED)"
        )
        rows = [{"id": number, "body": text} for number, text in enumerate(texts)]
        cursor.executemany("INSERT INTO papers (id, body) VALUES (:id, :body)", rows)
        cursor.execute(
            "SELECT id, 1 - (v <=> :q) AS score FROM papers ORDER BY score DESC LIMIT 5", {"q": query}
        )
        hits = cursor.fetchall()
    scores = (model.encode_document(texts) @ model.encode_query(["q heat"]).T)[:, 0]
    assert [score for _, score in hits] == pytest.approx(sorted(scores, reverse=True)[:5], abs=1e-3)


def test_registration_says_that_milvus_lite_cannot_tell_queries(
    client: MilvusClient, service: str, caplog: pytest.LogCaptureFixture
) -> None:
    from pymilvus import DataType

    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("body", DataType.VARCHAR, max_length=512)
    with caplog.at_level(logging.WARNING):
        nestvec.add_embedding(schema, "body", encoder="leaf", dims=[32], service=service, client=client)
    assert "leaf embeds queries by weights of their own" in caplog.text


def weights(service: str, name: str, texts: list[str], dim: int) -> np.ndarray:
    rows = np.zeros((len(texts), dim), np.float32)
    answer = post(service, f"/embed_sparse?encoder={name}", inputs=texts, truncate=True)
    for row, entries in zip(rows, answer, strict=True):
        row[[entry["index"] for entry in entries]] = [entry["value"] for entry in entries]
    return rows


def test_sparse_codes(sides: Path, service: str, tmp_path: Path) -> None:
    model = library(sides, "csr")
    expected = model.encode_document(TEXTS, convert_to_sparse_tensor=False).numpy()
    served = weights(service, "csr", TEXTS, 256)
    assert ((served != 0) == (expected != 0)).all()
    np.testing.assert_allclose(served, expected, atol=1e-4)
    (row,) = post(service, "/embed_sparse?encoder=csr&words=true&top=2", inputs=TEXTS[0])
    assert [entry["word"] for entry in row] == [f"unit {entry['index']}" for entry in row]
    best = int(np.argmax(expected[:-1] @ expected[-1]))
    assert _sparse_search(tmp_path, service, "csr", TEXTS[:-1], TEXTS[-1]) == best


def _sparse_search(tmp_path: Path, service: str, name: str, texts: list[str], query: str) -> int:
    """The id of the best of texts for a query in Milvus Lite."""
    with nestvec.connect(str(tmp_path / f"{name}.db"), service=service) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "CREATE TABLE papers (id BIGINT PRIMARY KEY, body TEXT, "
            f"lex SPARSEVEC GENERATED ALWAYS AS (EMBED(body, '{name}')) STORED)"
        )
        rows = [{"id": number, "body": text} for number, text in enumerate(texts)]
        cursor.executemany("INSERT INTO papers (id, body) VALUES (:id, :body)", rows)
        cursor.execute(f"SELECT id FROM papers ORDER BY lex <#> '{query}' LIMIT 1")
        (number,) = cursor.fetchone()
    return int(number)


def test_late_interaction_without_marker_tokens(sides: Path, service: str) -> None:
    model = library(sides, "late")
    assert manifest_of(sides, "late").towers["text"].interaction is not None
    own = {}
    for role, encode in (("query", model.encode_query), ("document", model.encode_document)):
        own[role] = encode(TEXTS, convert_to_numpy=True)
        named = post(service, "/embed_all?encoder=late", inputs=TEXTS, truncate=True, prompt_name=role)
        assert [len(rows) for rows in named] == [len(rows) for rows in own[role]]
        found = np.concatenate([np.array(rows, np.float32) for rows in named])
        assert cosines(found, np.concatenate(own[role])).min() >= 0.9999
    body = {"query": TEXTS[0], "texts": TEXTS, "raw_scores": True, "truncate": True}
    ranked = {hit["index"]: hit["score"] for hit in post(service, "/rerank?encoder=late", **body)}
    expected = maxsim(own["query"][0], own["document"])
    assert [ranked[place] for place in range(len(TEXTS))] == pytest.approx(expected.tolist(), abs=1e-3)


def test_three_outputs_of_one_pass(sides: Path, service: str, tmp_path: Path) -> None:
    manifest = manifest_of(sides, "m3")
    encoders = httpx.get(f"{service}/info", trust_env=False).json()["encoders"]
    kinds = {name: encoders[name]["kind"] for name in encoders if name.startswith("m3")}
    assert kinds == {"m3": "dense", "m3.sparse": "sparse", "m3.colbert": "multivector"}
    expected = library(sides, "m3").encode(TEXTS)
    assert cosines(vectors(service, "m3", TEXTS), expected).min() >= 0.9999
    served = weights(service, "m3.sparse", TEXTS, manifest.outputs["sparse"])
    assert (served[:, :4] == 0).all()  # special tokens are no words
    assert ((served > 0).sum(axis=1) > 0).all()
    tokens = post(service, "/embed_all?encoder=m3.colbert", inputs=TEXTS[:1])
    ids = post(service, "/tokenize?encoder=m3", inputs=TEXTS[:1])
    assert np.array(tokens).shape == (1, len(ids[0]) - 1, 32)
    answer = httpx.post(
        f"{service}/rerank?encoder=m3.colbert", json={"query": "heat", "texts": TEXTS[:2]}, trust_env=False
    )
    assert answer.status_code == 200
    best = int(np.argmax(served[:-1] @ served[-1]))
    assert _sparse_search(tmp_path, service, "m3.sparse", TEXTS[:-1], TEXTS[-1]) == best


def test_one_pass_answers_for_all_outputs(sides: Path, service: str) -> None:
    """The same text for the second output comes from the cache of the first."""
    text = json.dumps({"one": "pass"})
    post(service, "/embed?encoder=m3", inputs=[text])
    answer = httpx.post(f"{service}/embed_sparse?encoder=m3.sparse", json={"inputs": [text]}, trust_env=False)
    assert answer.headers["x-inference-time"] == "0"
