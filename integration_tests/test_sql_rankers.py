"""DECAY and BOOST on the real Milvus Lite, compared with the same arithmetic by numpy."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient

import nestvec
from nestvec.dbapi import Connection, DatabaseError, NotSupportedError

ROWS = 60
TODAY = date(2024, 6, 30)


def text(n: int) -> str:
    return f"{'gas ' * (n % 4 + 1)}{'word ' * (n % 7)}number {n}"


def vector(n: int) -> list[float]:
    return [math.cos(n / 20), math.sin(n / 20)]


def slow(n: int) -> list[float]:
    return [math.cos(n / 400), math.sin(n / 400)]


def year(n: int) -> int | None:
    return None if n == 3 else 2000 + n * 7 % 25


def day(n: int) -> date:
    return TODAY - timedelta(days=n * 11 % 90)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with nestvec.connect(str(tmp_path_factory.mktemp("rankers") / "shops.db")) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "CREATE TABLE shops (id BIGINT PRIMARY KEY, year INT, opened DATE NOT NULL, "
            "body VARCHAR(200) NOT NULL, v VECTOR(2), w VECTOR(2), "
            "words SPARSEVEC GENERATED ALWAYS AS (BM25(body)) STORED)"
        )
        cursor.execute("CREATE INDEX ON shops USING flat (w vector_l2_ops)")
        cursor.executemany(
            "INSERT INTO shops (id, year, opened, body, v, w) VALUES ($1, $2, $3, $4, $5, $6)",
            [[n, year(n), day(n), text(n), vector(n), vector(n)] for n in range(ROWS)],
        )
        cursor.execute("CREATE TABLE many (id BIGINT PRIMARY KEY, kind VARCHAR(9), v VECTOR(2), w VECTOR(2))")
        cursor.execute("CREATE INDEX ON many USING flat (w vector_l2_ops)")
        cursor.executemany(
            "INSERT INTO many VALUES ($1, $2, $3, $4)",
            [[n, "rare" if n >= 550 else "common", slow(n), slow(n)] for n in range(600)],
        )
        yield connection


@pytest.fixture
def answer(connection: Connection) -> Callable[..., list[Any]]:
    def run(statement: str, parameters: Any = None) -> list[Any]:
        return connection.cursor().execute(statement, parameters).fetchall()

    return run


def cosine(n: int) -> float:
    return math.cos(n / 20)


def gauss(distance: float, scale: float, decay: float = 0.5) -> float:
    return math.exp(math.log(decay) * (distance / scale) ** 2)


def ranked(scores: dict[int, float], limit: int, offset: int = 0) -> list[tuple[int, float]]:
    return sorted(scores.items(), key=lambda item: -item[1])[offset : offset + limit]


def check(rows: list[Any], expected: list[tuple[int, float]]) -> None:
    assert [row[0] for row in rows] == [n for n, _ in expected]
    assert [row[1] for row in rows] == pytest.approx([score for _, score in expected], abs=1e-4)


SELECT = "SELECT id, RERANK_SCORE() AS s FROM shops"
NEAR = "ORDER BY v <=> '[1, 0]'"


def test_rows_that_rank_low_are_found_by_other_conditions(
    answer: Callable[..., list[Any]],
) -> None:
    """The rows of a fused ranking whose ids pass are beyond its first candidates."""
    fused = "RRF(v <=> '[1, 0]', w <-> '[1, 0]')"
    rows = answer(
        f"SELECT id FROM many WHERE upper(kind) = 'RARE' ORDER BY {fused} DESC LIMIT 5 OFFSET 1",
    )
    assert rows == [(551,), (552,), (553,), (554,), (555,)]


def test_a_rerank_is_never_left_out(answer: Callable[..., list[Any]]) -> None:
    decay = "RERANK BY DECAY(year, origin => 2010, scale => 5)"
    for statement in (
        f"SELECT id FROM shops WHERE length(body) > 3 {NEAR} {decay} LIMIT 3",
        f"SELECT id, count(*) OVER () FROM shops {NEAR} {decay} LIMIT 3",
    ):
        with pytest.raises(NotSupportedError):
            answer(statement)


@pytest.mark.parametrize("function", ["gauss", "exp", "linear"])
def test_a_decay_multiplies_the_similarity(answer: Callable[..., list[Any]], function: str) -> None:
    curves: dict[str, Callable[[float], float]] = {
        "gauss": lambda d: 0.4 ** ((d / 5) ** 2),
        "exp": lambda d: 0.4 ** (d / 5),
        "linear": lambda d: max(0.0, 1 - 0.6 * d / 5),
    }
    rows = answer(
        f"{SELECT} WHERE id < 20 {NEAR} RERANK BY DECAY(year, origin => 2010, scale => 5, offset => 1, "
        f"decay => 0.4, function => '{function}') LIMIT 6 OFFSET 2"
    )
    factors = {
        n: curves[function](max(0.0, abs(stored - 2010) - 1)) if (stored := year(n)) is not None else 0.0
        for n in range(20)
    }
    check(rows, ranked({n: cosine(n) * factors[n] for n in range(20)}, 6, 2))


def test_candidates_are_the_nearest_rows(answer: Callable[..., list[Any]]) -> None:
    decay = "DECAY(opened, origin => :day, scale => INTERVAL '7 days')"
    rows = answer(f"{SELECT} {NEAR} RERANK BY {decay} WITH (candidates = 10) LIMIT 4", {"day": TODAY})
    scores = {n: cosine(n) * gauss((TODAY - day(n)).days, 7) for n in range(10)}
    check(rows, ranked(scores, 4))
    every = answer(f"{SELECT} {NEAR} RERANK BY {decay} WITH (candidates = 60) LIMIT 4", {"day": TODAY})
    check(every, ranked({n: cosine(n) * gauss((TODAY - day(n)).days, 7) for n in range(ROWS)}, 4))
    assert [row[0] for row in every] != [row[0] for row in rows]


def test_a_boost_multiplies_or_adds(answer: Callable[..., list[Any]]) -> None:
    def boosted(n: int) -> bool:
        stored = year(n)
        return stored is not None and stored > 2015 and n < 20

    rows = answer(f"{SELECT} WHERE id < 20 {NEAR} RERANK BY BOOST(WHERE year > 2015, weight => 1.5) LIMIT 5")
    check(rows, ranked({n: cosine(n) * (1.5 if boosted(n) else 1) for n in range(20)}, 5))
    rows = answer(
        f"{SELECT} WHERE id < 20 {NEAR} RERANK BY BOOST(WHERE year > 2015, weight => 0.2), "
        "BOOST(WHERE id = 7, weight => 0.5) WITH (boost_mode = 'sum', function_mode = 'sum') LIMIT 5 OFFSET 1"
    )
    sums = {n: cosine(n) + (0.2 if boosted(n) else 0) + (0.5 if n == 7 else 0) for n in range(20)}
    check(rows, ranked(sums, 5, 1))


def test_random_weights_are_the_same_for_a_seed(answer: Callable[..., list[Any]]) -> None:
    def shuffled(seed: int) -> list[Any]:
        return answer(f"{SELECT} {NEAR} RERANK BY BOOST(weight => 1, seed => {seed}, by => id) LIMIT 20")

    assert shuffled(1) == shuffled(1)
    assert shuffled(1) != shuffled(2)
    assert all(0 <= score <= cosine(n) + 1e-6 for n, score in shuffled(3))


def test_words_are_boosted_and_decay(answer: Callable[..., list[Any]]) -> None:
    plain = dict(answer("SELECT id, body <@> 'gas' AS s FROM shops ORDER BY s LIMIT 60"))
    rows = answer(f"{SELECT} ORDER BY body <@> 'gas' RERANK BY BOOST(WHERE id >= 30, weight => 2) LIMIT 60")
    expected = {n: -score * (2 if n >= 30 else 1) for n, score in plain.items()}
    assert dict(rows) == pytest.approx(expected, abs=1e-4)
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
    rows = answer(
        f"{SELECT} ORDER BY body <@> 'gas' RERANK BY BOOST(WHERE id >= 30, weight => 2), "
        "DECAY(id, origin => 59, scale => 10) LIMIT 60"
    )
    assert dict(rows) == pytest.approx(
        {n: score * gauss(59 - n, 10) for n, score in expected.items()}, abs=1e-4
    )


def test_decays_of_a_euclidean_distance_and_of_a_fusion(answer: Callable[..., list[Any]]) -> None:
    rows = answer(
        f"{SELECT} ORDER BY w <-> '[1, 0]' RERANK BY DECAY(id, origin => 10, scale => 5) "
        "WITH (candidates = 60) LIMIT 5"
    )
    assert rows[0][0] in range(5, 12)
    fused = "RRF(v <=> '[1, 0]', body <@> 'gas')"
    plain = dict(answer(f"SELECT id, {fused} AS s FROM shops ORDER BY s DESC LIMIT 60"))
    rows = answer(
        f"{SELECT} ORDER BY {fused} DESC RERANK BY DECAY(id, origin => 30, scale => 10), "
        "DECAY(opened, origin => '2024-06-30', scale => 20) WITH (candidates = 60) LIMIT 8"
    )
    scores = {n: score * gauss(n - 30, 10) * gauss((TODAY - day(n)).days, 20) for n, score in plain.items()}
    check(rows, ranked(scores, 8))


class Reranking(BaseHTTPRequestHandler):
    """A service whose score of a text is its length."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        results = [
            {"index": n, "relevance_score": len(document) / 100}
            for n, document in enumerate(body["documents"])
        ]
        content = json.dumps({"results": results}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


@pytest.fixture(scope="module")
def reranker() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Reranking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_encoder_and_a_decay_after_it(answer: Callable[..., list[Any]], reranker: str) -> None:
    options = f"WITH (candidates = 20, column = body, query = 'q', service = '{reranker}')"
    rows = answer(f"{SELECT} {NEAR} RERANK BY 'cross', DECAY(id, origin => 0, scale => 10) {options} LIMIT 5")
    check(rows, ranked({n: len(text(n)) / 100 * gauss(n, 10) for n in range(20)}, 5))
    # A boost chooses the candidates: rows from 40 on come first, and the model scores at least 20 of them.
    boosted = answer(
        f"{SELECT} {NEAR} RERANK BY BOOST(WHERE id >= 40, weight => -10), 'cross' {options} LIMIT 5"
    )
    assert [row[1] for row in boosted] == pytest.approx(sorted((row[1] for row in boosted), reverse=True))
    assert all(row[1] == pytest.approx(len(text(row[0])) / 100) for row in boosted)


def test_what_runs_is_explained(answer: Callable[..., list[Any]]) -> None:
    lines = [
        row[0]
        for row in answer(
            f"EXPLAIN ANALYZE {SELECT} {NEAR} RERANK BY BOOST(WHERE year > 2015, weight => 1.5), "
            "DECAY(year, origin => 2010, scale => 5), DECAY(id, origin => 1, scale => 5) LIMIT 3"
        )
    ]
    plan = "\n".join(lines)
    for part in (
        "Decay in nestvec: 3 rows by score times gauss decay of id from 1, 0.5 at 5",
        "by score times gauss decay of year from 2010, 0.5 at 5",
        "boost: score times 1.5 where year > 2015",
        "Total: 3 rows",
    ):
        assert part in plan


def test_reranked_rows_are_joined(answer: Callable[..., list[Any]]) -> None:
    rows = answer(
        f"SELECT n.id, s.year FROM (SELECT id FROM shops {NEAR} "
        "RERANK BY DECAY(id, origin => 9, scale => 2) LIMIT 3) AS n "
        "JOIN shops AS s ON s.id = n.id ORDER BY n.id"
    )
    assert rows == [(8, year(8)), (9, year(9)), (10, year(10))]


def test_a_boost_of_a_fusion_is_refused(answer: Callable[..., list[Any]]) -> None:
    with pytest.raises(NotSupportedError, match="BOOST with RRF or WEIGHTED"):
        answer(
            f"{SELECT} ORDER BY RRF(v <=> '[1, 0]', body <@> 'gas') DESC RERANK BY BOOST(weight => 2) LIMIT 3"
        )


def test_highlights_are_refused_by_milvus_lite_by_name(answer: Callable[..., list[Any]]) -> None:
    with pytest.raises(DatabaseError, match=r"HIGHLIGHT needs Milvus 2.6.8 .* Lite does not support it"):
        answer("SELECT id, HIGHLIGHT(body) FROM shops ORDER BY body <@> 'gas' LIMIT 3")
    for expression in ("upper(HIGHLIGHT(body))", "HIGHLIGHT(body), year + 1", "'x' || HIGHLIGHT(body)"):
        with pytest.raises(DatabaseError, match=r"HIGHLIGHT (in an expression is not supported|needs)"):
            answer(f"SELECT {expression} FROM shops ORDER BY body <@> 'gas' LIMIT 3")
    inner = "SELECT id, HIGHLIGHT(body) AS x FROM shops ORDER BY body <@> 'gas' LIMIT 3"
    with pytest.raises(DatabaseError, match=r"HIGHLIGHT needs Milvus 2.6.8"):
        answer(f"SELECT id, upper(x) || '!' FROM ({inner}) AS t")


def test_milvus_ignores_a_boost_of_a_hybrid_search(tmp_path: Path) -> None:
    """Why BOOST is sent with Milvus's plain search: pymilvus does not take it in a hybrid one."""
    from pymilvus import AnnSearchRequest, Function, FunctionScore, FunctionType, MilvusException

    client = MilvusClient(str(tmp_path / "lite.db"))
    client.create_collection("t", dimension=2, metric_type="COSINE")
    client.insert("t", [{"id": n, "vector": vector(n)} for n in range(3)])
    boost = Function("b", FunctionType.RERANK, [], params={"reranker": "boost", "weight": 2})
    search = AnnSearchRequest([np.array([1.0, 0.0])], "vector", {"metric_type": "COSINE"}, 3)
    with pytest.raises(MilvusException, match="must be a Function or a Ranker"):
        client.hybrid_search("t", [search], FunctionScore([boost]), limit=3)
    client.close()
