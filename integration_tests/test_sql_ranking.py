"""Rankings on the real Milvus Lite, with the real encoder: sums, words, several at once, several queries."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from integration_tests.fixtures.services import vacant_address
from pymilvus import AsyncMilvusClient, DataType, Function, FunctionType, MilvusClient

from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import embed_vectors
from nestvec.milvus.calls import MilvusCalls
from nestvec.milvus.connection import open_milvus
from nestvec.milvus.providers import PROVIDERS
from nestvec.milvus.steps import adrive
from nestvec.service.in_process import serve_in_process
from nestvec.sql import Session, StatementResult, execute
from nestvec.sql.settings import SessionSettings
from nestvec.sql.statements import execute_steps as execute_steps
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import SqlTypeMismatch, StoreRefused

DIM = 64
TEXTS = (
    "Read rows from a CSV file",
    "Compute the square root of a number",
    "Open a network socket and read from it",
    "Sort a list in place",
    "Write a row to a spreadsheet file",
    "Start a new thread of control",
    "Read a file line by line",
    "Parse a JSON document from a file",
    "Round a number to the nearest whole number",
    "Wait until a thread has ended",
)


@pytest.fixture(scope="module")
def service() -> str:
    return vacant_address()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("ranking") / "docs.db")


@pytest.fixture(scope="module")
def client(service: str, models: Path, database: str) -> Iterator[MilvusClient]:
    """A database with ``docs``: real texts, their vectors and words; and ``bare``, which nothing fills."""
    with serve_in_process([service], models), open_milvus(database) as client:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("doc", DataType.VARCHAR, max_length=500, enable_analyzer=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIM)
        schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
        params = PROVIDERS["openai"].write_params(service, EmbeddingConfig("minilm", DIM), MilvusCalls())
        schema.add_function(Function("fill", FunctionType.TEXTEMBEDDING, ["doc"], ["v"], params=params))
        schema.add_function(Function("bm25", FunctionType.BM25, ["doc"], ["words"]))
        index = client.prepare_index_params()
        index.add_index("v", index_type="AUTOINDEX", metric_type="COSINE")
        index.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
        client.create_collection("docs", schema=schema, index_params=index)
        client.insert("docs", [{"id": n, "doc": text} for n, text in enumerate(TEXTS)])
        bare = client.create_schema()
        bare.add_field("id", DataType.INT64, is_primary=True)
        bare.add_field("v", DataType.FLOAT_VECTOR, dim=DIM)
        index = client.prepare_index_params()
        index.add_index("v", index_type="AUTOINDEX", metric_type="IP")
        client.create_collection("bare", schema=bare, index_params=index)
        vectors = embed_vectors(EmbeddingRequest(service, EmbeddingConfig("minilm", DIM)), TEXTS)
        client.insert("bare", [{"id": n, "v": row.tolist()} for n, row in enumerate(vectors)])
        yield client


@pytest.fixture(scope="module")
def vectors(service: str, client: MilvusClient) -> dict[str, np.ndarray]:
    """The service's own vectors of every text."""
    texts = [*TEXTS, "files", "numbers", "threads"]
    return dict(
        zip(
            texts,
            embed_vectors(EmbeddingRequest(service, EmbeddingConfig("minilm", DIM)), texts, query=True),
            strict=True,
        )
    )


def cosines(vectors: dict[str, np.ndarray], query: np.ndarray) -> list[tuple[int, float]]:
    """Every row with its cosine distance, nearest first."""
    rows = np.stack([vectors[text] for text in TEXTS])
    found = 1 - rows @ query / (np.linalg.norm(rows, axis=1) * np.linalg.norm(query))
    return [(int(n), float(found[n])) for n in np.argsort(found, kind="stable")]


def same(found: tuple[tuple[object, ...], ...], expected: list[tuple[int, float]]) -> None:
    assert [row[0] for row in found] == [row[0] for row in expected[: len(found)]]
    assert [row[1] for row in found] == pytest.approx([row[1] for row in expected[: len(found)]], abs=2e-4)


def test_arithmetic_is_numpys(client: MilvusClient, vectors: dict[str, np.ndarray]) -> None:
    files, numbers, threads = (vectors[one] for one in ("files", "numbers", "threads"))
    answer = execute(
        client,
        "SELECT id, v <=> EMBED('files') + :w * EMBED('numbers', 'minilm') - :x / 4 AS d FROM docs "
        "ORDER BY d LIMIT 6",
        {"w": 0.5, "x": threads},
    )
    same(answer.rows, cosines(vectors, files + 0.5 * numbers - threads / 4))
    one = execute(client, "SELECT id, v <=> -(-EMBED('files')) AS d FROM docs ORDER BY d LIMIT 6")
    plain = execute(client, "SELECT id, v <=> 'files' AS d FROM docs ORDER BY d LIMIT 6")
    same(one.rows, cosines(vectors, files))
    same(plain.rows, cosines(vectors, files))


def test_who_embeds_is_explained(client: MilvusClient, service: str) -> None:
    answer = execute(client, "EXPLAIN SELECT id FROM docs ORDER BY v <=> EMBED('a') + EMBED('b') LIMIT 2")
    text = "\n".join(line for (line,) in answer.rows)
    assert f"embeds: 2 texts by minilm, 64 dims, at {service}, called by nestvec" in text


def test_more_like_this_finds_itself_first(client: MilvusClient, vectors: dict[str, np.ndarray]) -> None:
    asked = "SELECT id, v <=> (SELECT v FROM {} WHERE id = 4) AS d FROM docs ORDER BY d LIMIT 5"
    for collection in ("docs", "bare"):
        answer = execute(client, asked.format(collection))
        assert answer.rows[0][0] == 4
        same(answer.rows, cosines(vectors, vectors[TEXTS[4]]))
    between = execute(
        client,
        "SELECT id FROM docs WHERE id <> 0 AND id <> 5 "
        "ORDER BY v <=> (SELECT v FROM docs WHERE id = 0) - (SELECT v FROM docs d WHERE d.id = 5) LIMIT 3",
    )
    expected = cosines(vectors, vectors[TEXTS[0]] - vectors[TEXTS[5]])
    assert [row[0] for row in between.rows] == [n for n, _ in expected if n not in (0, 5)][:3]
    several = asked.format("docs").replace("SELECT v", "SELECT avg(v)").replace("id = 4", "id IN (1, 2)")
    same(execute(client, several).rows, cosines(vectors, vectors[TEXTS[1]] + vectors[TEXTS[2]]))
    for where, said in (("id = 99", "none"), ("id > 3", "several")):
        with pytest.raises(SqlTypeMismatch, match=f"must return exactly one row: {said}"):
            execute(client, asked.format("docs").replace("id = 4", where))


def test_a_column_that_nothing_fills(
    client: MilvusClient, service: str, vectors: dict[str, np.ndarray]
) -> None:
    asked = "SELECT id, v <#> EMBED('files', 'minilm') AS d FROM bare ORDER BY d LIMIT 3"
    answer = execute(client, asked, session=Session(SessionSettings(service=service)))
    expected = sorted((-float(vectors[text] @ vectors["files"]), n) for n, text in enumerate(TEXTS))
    same(answer.rows, [(n, d) for d, n in expected])


def test_words_are_ranked_by_bm25(client: MilvusClient) -> None:
    answer = execute(client, "SELECT id, doc <@> 'read a file' AS d FROM docs ORDER BY d LIMIT 10")
    distances = [row[1] for row in answer.rows]
    assert distances == sorted(distances)
    assert distances[0] < 0
    assert set(TEXTS[answer.rows[0][0]].lower().split()) >= {"read", "a", "file"}
    assert execute(client, "SELECT id FROM docs ORDER BY doc <@> 'json' LIMIT 10").rows == ((7,),)
    assert (
        answer.rows
        == execute(
            client, "SELECT id, words <@> :q AS d FROM docs ORDER BY d LIMIT 10", {"q": "read a file"}
        ).rows
    )
    filtered = execute(
        client, "SELECT id FROM docs WHERE id <> 6 ORDER BY doc <@> 'read a file' LIMIT 1 OFFSET 1"
    )
    assert filtered.rows[0][0] == [row[0] for row in answer.rows if row[0] != 6][1]


def test_rrf_is_rrf_by_hand(client: MilvusClient) -> None:
    where = "WHERE id <> 3"
    scores: dict[int, float] = {}
    for order in ("v <=> 'read a file'", "doc <@> 'read a file'"):
        rows = execute(client, f"SELECT id FROM docs {where} ORDER BY {order} LIMIT 10").rows
        for rank, (n,) in enumerate(rows, 1):
            scores[n] = scores.get(n, 0) + 1 / (20 + rank)
    fused = "RRF(v <=> 'read a file', doc <@> 'read a file', k => 20)"
    answer = execute(client, f"SELECT id, {fused} AS score FROM docs {where} ORDER BY score DESC LIMIT 9")
    assert [row[1] for row in answer.rows] == pytest.approx(sorted(scores.values(), reverse=True), abs=1e-6)
    assert {row[0]: row[1] for row in answer.rows} == pytest.approx(scores, abs=1e-6)
    later = execute(client, f"SELECT id FROM docs {where} ORDER BY {fused} DESC LIMIT 4 OFFSET 3")
    assert [row[0] for row in later.rows] == [row[0] for row in answer.rows[3:7]]


def test_weights_are_of_scores_from_0_to_1(client: MilvusClient) -> None:
    asked = "SELECT id, {0} AS score FROM docs ORDER BY {0} DESC LIMIT 10"
    both = "v <=> 'read a file', doc <@> 'read a file'"
    dense = execute(client, "SELECT id, v <=> 'read a file' AS d FROM docs ORDER BY d LIMIT 10").rows
    one = execute(client, asked.format(f"WEIGHTED({both}, weights => ARRAY[1, 0])")).rows
    assert [row[0] for row in one] == [row[0] for row in dense]
    assert [row[1] for row in one] == pytest.approx([1 - row[1] / 2 for row in dense], abs=1e-5)
    words: dict[int, float] = dict(
        execute(client, "SELECT id, doc <@> 'read a file' AS d FROM docs ORDER BY d LIMIT 10").rows
    )
    expected = {n: 0.7 * (1 - d / 2) + 0.3 * 2 / np.pi * np.arctan(-words.get(n, 0)) for n, d in dense}
    answer = execute(client, asked.format(f"WEIGHTED({both}, weights => ARRAY[0.7, 0.3])")).rows
    assert dict(answer) == pytest.approx(expected, abs=1e-5)


QUERIES = ("files", "numbers", "threads", "read a file")
EACH = (
    "SELECT q.text, p.id, p.d FROM {} LATERAL "
    "(SELECT id, v <=> q.text AS d FROM docs WHERE id < 9 ORDER BY d LIMIT 3) AS p"
)


def separately(client: MilvusClient) -> list[tuple[object, ...]]:
    asked = "SELECT id, v <=> :q AS d FROM docs WHERE id < 9 ORDER BY d LIMIT 3"
    return [(text, *row) for text in QUERIES for row in execute(client, asked, {"q": text}).rows]


def test_lateral_is_the_searches_one_by_one(client: MilvusClient) -> None:
    expected = separately(client)
    values = f"(VALUES {', '.join(f'({text!r})' for text in QUERIES)}) AS q(text) CROSS JOIN"
    for statement in (EACH.format(values), EACH.format("unnest(:queries) AS q(text),")):
        answer = execute(client, statement, {"queries": QUERIES})
        assert answer.columns == ("text", "id", "d")
        assert [row[:2] for row in answer.rows] == [row[:2] for row in expected]
        assert [row[2] for row in answer.rows] == pytest.approx([row[2] for row in expected], abs=1e-6)


def test_lateral_with_what_differs(client: MilvusClient, vectors: dict[str, np.ndarray]) -> None:
    """Texts, sums and filters of each query's own; one that finds nothing is kept by LEFT JOIN."""
    answer = execute(
        client,
        "SELECT q.name, p.id FROM (VALUES ('a', 'files', 5), ('b', 'threads', 5), ('c', 'x', 0)) "
        "AS q(name, text, least) LEFT JOIN LATERAL (SELECT id FROM docs WHERE id < q.least "
        "ORDER BY v <=> EMBED(q.text) + 0.5 * EMBED('numbers') LIMIT 2) AS p ON TRUE",
    )
    expected: list[tuple[str, int | None]] = []
    for name, text in (("a", "files"), ("b", "threads")):
        near = cosines(vectors, vectors[text] + 0.5 * vectors["numbers"])
        expected += [(name, n) for n, _ in near if n < 5][:2]
    assert list(answer.rows) == [*expected, ("c", None)]
    hybrid = execute(
        client,
        "SELECT q.text, p.* FROM unnest(:queries) AS q(text), LATERAL (SELECT id FROM docs "
        "ORDER BY RRF(v <=> q.text, doc <@> q.text) DESC LIMIT 2) AS p",
        {"queries": QUERIES[:2]},
    )
    assert [row[0] for row in hybrid.rows] == ["files", "files", "numbers", "numbers"]


def test_one_who_awaits_finds_the_same(client: MilvusClient, database: str) -> None:
    statement, given = EACH.format("unnest(:queries) AS q(text),"), {"queries": QUERIES}
    fused = "SELECT id FROM docs ORDER BY RRF(v <=> 'a' + EMBED('b'), doc <@> 'file') DESC LIMIT 4"

    async def asked() -> list[StatementResult]:
        awaited = AsyncMilvusClient(database)
        try:
            session = Session()
            return [
                await adrive(awaited, lambda: client, execute_steps(session, *one))
                for one in ((statement, given), (fused, None))
            ]
        finally:
            await awaited.close()

    found = asyncio.run(asked())
    assert [one.rows for one in found] == [
        execute(client, statement, given).rows,
        execute(client, fused).rows,
    ]


class Reranking(BaseHTTPRequestHandler):
    """Cohere's rerank: the more of the query's letters a document has, the higher its score."""

    asked: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append({"path": self.path, **body})
        results = [
            {"index": n, "relevance_score": score(body["query"], text)}
            for n, text in enumerate(body["documents"])
        ]
        answer = json.dumps({"results": sorted(results, key=lambda one: -one["relevance_score"])}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def score(query: str, text: str) -> float:
    return len(set(query) & set(text.lower())) / len(set(query)) + len(text) / 1000


@pytest.fixture
def reranker() -> Iterator[str]:
    Reranking.asked.clear()
    server = HTTPServer(("127.0.0.1", 0), Reranking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_rerank_by_a_model(client: MilvusClient, reranker: str) -> None:
    tail = f"RERANK BY 'cross' WITH (candidates = 6, service = '{reranker}') LIMIT 3 OFFSET 1"
    near = execute(client, "SELECT id FROM docs WHERE id <> 2 ORDER BY v <=> 'json thread' LIMIT 6").rows
    expected = sorted(((score("json thread", TEXTS[n]), n) for (n,) in near), reverse=True)
    answer = execute(
        client,
        f"SELECT id, RERANK_SCORE() AS s FROM docs WHERE id <> 2 ORDER BY v <=> 'json thread' {tail}",
    )
    assert [row[0] for row in answer.rows] == [n for _, n in expected[1:4]]
    assert [row[1] for row in answer.rows] == pytest.approx([one for one, _ in expected[1:4]], abs=1e-6)
    (asked,) = Reranking.asked
    assert (asked["path"], asked["model"], asked["query"]) == ("/v2/rerank", "cross", "json thread")
    assert sorted(asked["documents"]) == sorted(TEXTS[n] for (n,) in near)
    both = execute(
        client,
        f"SELECT id FROM docs ORDER BY RRF(v <=> 'json thread', doc <@> 'json thread') DESC {tail}",
    )
    assert len(both.rows) == 3


def test_a_service_without_a_cross_encoder_says_so(client: MilvusClient) -> None:
    with pytest.raises(StoreRefused, match="no encoder of this service scores a query with a document"):
        execute(client, "SELECT id FROM docs ORDER BY v <=> 'files' RERANK BY 'minilm' LIMIT 3")
