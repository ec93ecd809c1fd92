"""Reranking in each face's shape, by encoders whose scores can be counted by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cohere
import httpx
import numpy as np
import pytest
from tei_client.clients.http_client import HttpClient
from tokenizers import Tokenizer, processors

from nestvec.engines.contract import Batch
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.request_context import current_context
from nestvec.service.scoring import score_late_interaction, score_logits
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import LoadLimits, ServiceSettings
from nestvec_schemas.late_interaction import KEEP_INPUT, Interaction
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import Tower

MAX_TOKENS = 12
QUERY, DOCUMENT, MASK, DIM = 1002, 1003, 12, 64
TYPES = "token_type_ids"


class Counting:
    """``cross`` scores a pair by the words that both texts have, less 2; ``late`` gives each token its id's
    own direction. ``widest`` is the largest batch of each."""

    name, parallel = "counting", 1

    def __init__(self) -> None:
        self.widest: dict[str, int] = {}

    async def run(self, encoder: str, batch: Batch) -> Array:
        self.widest[encoder] = max(len(batch), self.widest.get(encoder, 0))
        ids = batch.arrays["input_ids"]
        if encoder == "late":
            return np.float32(np.eye(DIM)[ids % DIM] * batch.arrays[KEEP_INPUT][:, :, None])
        if encoder == "dense":
            return np.ones((len(batch), DIM), np.float32)
        types = batch.arrays[TYPES]
        both = [
            len(set(row[kind == 0]) & set(row[kind == 1]) - {0, 3})
            for row, kind in zip(ids, types, strict=True)
        ]
        return np.float32(both)[:, None] - 2

    async def ready(self, encoder: str) -> bool:
        return True

    async def close(self) -> None:
        """Nothing."""


def tower(*more: str, **fields: Any) -> dict[str, Tower]:
    inputs = ("input_ids", "attention_mask", *more)
    given = {"inputs": inputs, "output": "o", "pooling": "p", "max_tokens": MAX_TOKENS, **fields}
    return {"text": Tower(**given)}


def with_pairs(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.add_special_tokens(["w998", "w999"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save(str(folder / TOKENIZER))


@pytest.fixture
def counting(write_encoder: Any) -> Iterator[tuple[str, Counting]]:
    """The address of a service with a cross-encoder, a late-interaction and a dense one; and its engine."""
    interaction = Interaction(
        query_marker=QUERY, document_marker=DOCUMENT, query_tokens=6, mask=MASK, skip=(20,)
    )
    shape = {"dim": 1, "dims": (1,), "layers": (1,), "normalised": False, "prompts": {}}
    cross = tower(TYPES, activation="sigmoid", alone=True)
    folder = write_encoder("cross", kind="reranker", towers=cross, **shape)
    with_pairs(folder)
    # Words w998 and w999 have ids 1002 and 1003.
    late = tower(KEEP_INPUT, interaction=interaction)
    wide = {**shape, "dim": DIM, "dims": (DIM,), "prompts": {"query": "w998 ", "document": "w999 "}}
    with_pairs(write_encoder("late", kind="multivector", towers=late, **wide))
    write_encoder("dense", towers=tower(), **{**wide, "prompts": {}})
    engine = Counting()
    # With room for one request, whatever sides it has.
    settings = ServiceSettings(load=LoadLimits(requests=1))
    embedder = Embedder(open_encoders(folder.parent), engine, settings)  # type: ignore[arg-type]
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        yield address, engine


@pytest.fixture
def service(counting: tuple[str, Counting]) -> str:
    return counting[0]


TEXTS = ["w30 w31", "w40 w41 w42", "w50", "w40 w41 w42 w43"]
ASK = "w40 w41 w42 w43"


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def post(service: str, path: str, **body: object) -> Any:
    answer = httpx.post(f"{service}{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_tei_gives_sigmoids_the_best_first(service: str) -> None:
    found = post(service, "/rerank?encoder=cross", query=ASK, texts=TEXTS)
    assert [one["index"] for one in found] == [3, 1, 0, 2]
    assert [one["score"] for one in found] == pytest.approx([sigmoid(x) for x in (2, 1, -2, -2)])
    raw = post(service, "/rerank?encoder=cross", query=ASK, texts=TEXTS, raw_scores=True, return_text=True)
    assert [(one["text"], one["score"]) for one in raw][:2] == [(TEXTS[3], 2.0), (TEXTS[1], 1.0)]


def test_cohere_and_vllm_give_relevance_of_every_document(service: str) -> None:
    expected = [(3, sigmoid(2)), (1, sigmoid(1)), (0, sigmoid(-2)), (2, sigmoid(-2))]
    for path in ("/rerank?encoder=cross", "/v1/rerank?encoder=cross", "/v2/rerank?encoder=cross"):
        found = post(service, path, query=ASK, documents=TEXTS)
        assert [(one["index"], one["relevance_score"]) for one in found["results"]] == [
            (at, pytest.approx(score)) for at, score in expected
        ]
        assert found["model"] == "cross"
    best = post(service, "/v2/rerank", model="cross", query=ASK, documents=TEXTS, top_n=1)["results"]
    assert best == [{"index": 3, "relevance_score": pytest.approx(sigmoid(2))}]
    told = [{"text": text} for text in TEXTS]
    shown = post(service, "/v1/rerank", model="cross", query=ASK, documents=told, return_documents=True)
    assert shown["results"][0]["document"] == {"text": TEXTS[3]}


def test_late_interaction_scores_by_token_vectors(service: str) -> None:
    asked = {"query": "w40 w41", "texts": ["w41 w16", "w40 w41"]}
    raw = post(service, "/rerank?encoder=late", **asked, raw_scores=True)
    # [CLS] and [SEP] find themselves, and so does each word; no document has the marker or the mask.
    assert raw == [{"index": 1, "score": 4.0}, {"index": 0, "score": 3.0}]
    found = post(service, "/rerank?encoder=late", **asked)
    assert [one["score"] for one in found] == pytest.approx([(4 / 6 + 1) / 2, (3 / 6 + 1) / 2])


def test_scores_do_not_depend_on_what_else_is_sent(counting: tuple[str, Counting]) -> None:
    service, engine = counting
    for name in ("cross", "late"):
        whole = post(service, f"/rerank?encoder={name}", query=ASK, texts=TEXTS)
        for one in whole:
            (alone,) = post(service, f"/rerank?encoder={name}", query=ASK, texts=[TEXTS[one["index"]]])
            assert alone["score"] == one["score"]
    # A tower that runs alone never shares a batch.
    assert engine.widest["cross"] == 1


def test_embed_all_gives_token_vectors(service: str) -> None:
    (query,) = post(service, "/embed_all?encoder=late", inputs="w30", prompt_name="query")
    assert [int(np.argmax(one)) for one in query] == [2, QUERY % DIM, 34, 3, MASK, MASK]
    documents = post(service, "/embed_all?encoder=late", inputs=["w16 w30", "w31"])
    assert [[int(np.argmax(one)) for one in rows] for rows in documents] == [
        [2, DOCUMENT % DIM, 34, 3],
        [2, DOCUMENT % DIM, 35, 3],
    ]
    ids = post(service, "/embed_all?encoder=late", inputs=[[2, 20, 34, 3]])
    assert len(ids[0]) == 4


def test_overlong_pairs_are_cut_or_refused(service: str) -> None:
    long = " ".join(f"w{n}" for n in range(40, 80))
    asked = {"query": "w79 w78", "texts": [long]}
    right = post(service, "/rerank?encoder=cross", **asked, raw_scores=True)
    left = post(service, "/rerank?encoder=cross", **asked, raw_scores=True, truncation_direction="left")
    assert (right[0]["score"], left[0]["score"]) == (-2.0, 0.0)
    answer = httpx.post(f"{service}/rerank?encoder=cross", json={**asked, "truncate": False})
    assert answer.status_code == 422
    assert "12 tokens that cross takes, and truncation is off: 45." in answer.json()["error"]
    # vLLM's own word for it.
    told = {"query": "w1", "documents": [long], "truncate_prompt_tokens": 512}
    assert len(post(service, "/rerank?encoder=cross&overlong=truncate", **told)["results"]) == 1


@pytest.mark.parametrize(("name", "lowest"), [("cross", -1000.0), ("late", -6.0)])
def test_blank_and_null_documents_have_the_lowest_score(service: str, name: str, lowest: float) -> None:
    filled = post(service, f"/rerank?encoder={name}", query=ASK, texts=TEXTS)
    for field, documents in (
        ("texts", ["", *TEXTS, None]),
        ("documents", [{"text": ""}, *TEXTS, {"text": None}]),
        ("texts", [" \t\r\n", *TEXTS, "\u00a0\u3000\u200b\ufeff\u2028\0"]),
    ):
        body = {"query": ASK, field: documents}
        ranked = post(service, f"/rerank?encoder={name}&format=tei", **body)
        assert [(row["index"] - 1, row["score"]) for row in ranked[:4]] == [
            (row["index"], row["score"]) for row in filled
        ]
        assert ranked[4:] == [{"index": 0, "score": 0.0}, {"index": 5, "score": 0.0}]
        raw = post(service, f"/rerank?encoder={name}&format=tei", **body, raw_scores=True)
        assert [row["score"] for row in raw[4:]] == [lowest, lowest] < [raw[3]["score"]] * 2
    only = post(service, f"/rerank?encoder={name}", query=ASK, texts=["", None])
    assert only == [{"index": 0, "score": 0.0}, {"index": 1, "score": 0.0}]


@pytest.mark.parametrize("name", ["cross", "late"])
def test_thousands_of_documents_are_scored_in_pieces(counting: tuple[str, Counting], name: str) -> None:
    service, _ = counting
    documents = [f"w{40 + n % 8} w{n % 900}" if n % 7 else "" for n in range(5000)]
    ranked = post(service, f"/rerank?encoder={name}", query=ASK, texts=documents)
    assert sorted(row["index"] for row in ranked) == list(range(5000))
    assert all(first["score"] >= second["score"] for first, second in pairwise(ranked))
    scores = {row["index"]: row["score"] for row in ranked}
    for start in (0, 2500, 4968):
        alone = post(service, f"/rerank?encoder={name}", query=ASK, texts=documents[start : start + 32])
        assert {start + row["index"]: row["score"] for row in alone} == {
            place: scores[place] for place in range(start, start + 32)
        }


def test_no_more_than_a_piece_waits_for_the_engine(
    counting: tuple[str, Counting], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    deadlines: set[float] = set()
    embed = Embedder.embed

    async def counted(self: Embedder, encoder: str, inputs: Any, options: Any) -> Any:
        sizes.append(len(inputs))
        deadlines.add(current_context().deadline)
        return await embed(self, encoder, inputs, options)

    monkeypatch.setattr(Embedder, "embed", counted)
    post(counting[0], "/rerank?encoder=cross", query=ASK, texts=[f"w{n % 900}" for n in range(1300)])
    assert sizes == [512, 512, 276]
    assert len(deadlines) == 1, "the deadline is the request's, not a piece's"
    sizes.clear()
    long = "w1 " * 60_000
    post(counting[0], "/rerank?encoder=cross", query=ASK, texts=[long + f"w{n}" for n in range(5)])
    assert sizes == [2, 2, 1]


def test_voyage_ai_and_sglang_read_their_own_response(service: str) -> None:
    """By the fields of Voyage AI's client, or by ``format`` for Milvus, which sends no such field."""
    expected = [(3, sigmoid(2)), (1, sigmoid(1))]
    client = {"query": ASK, "documents": TEXTS, "model": "cross", "top_k": 2, "truncation": True}
    answer = post(service, "/v1/rerank", **client)
    assert [(row["index"], row["relevance_score"]) for row in answer["data"]] == [
        (place, pytest.approx(score)) for place, score in expected
    ]
    assert (answer["object"], answer["model"]) == ("list", "cross")
    assert answer["usage"]["total_tokens"] > 0
    milvus = {"query": ASK, "documents": TEXTS, "model": "cross"}
    voyage = post(service, "/v1/rerank?format=voyageai", **milvus)
    assert [row["index"] for row in voyage["data"]] == [3, 1, 0, 2]
    sglang = post(service, "/v1/rerank?format=sglang", **milvus)
    assert [(row["index"], row["score"]) for row in sglang[:2]] == [
        (place, pytest.approx(score)) for place, score in expected
    ]
    long = {**client, "documents": [" ".join(f"w{n}" for n in range(40, 80))], "truncation": False}
    assert httpx.post(f"{service}/v1/rerank", json=long).status_code == 400


def test_vllm_s_words(service: str) -> None:
    """Its clients may need the documents, and its own default of ``top_n`` is 0."""
    body = {"query": ASK, "documents": TEXTS, "model": "cross", "top_n": 0}
    results = post(service, "/rerank?format=vllm", **body)["results"]
    assert [(row["index"], row["document"]["text"]) for row in results] == [
        (place, TEXTS[place]) for place in (3, 1, 0, 2)
    ]
    raw = post(service, "/rerank", **body, use_activation=False)["results"]
    assert [row["relevance_score"] for row in raw] == [2.0, 1.0, -2.0, -2.0]
    assert "document" not in raw[0]
    scored = post(service, "/score?encoder=cross", text_1=ASK, text_2=TEXTS, use_activation=False)["data"]
    assert [row["score"] for row in scored] == [-2.0, 1.0, -2.0, 2.0]
    long = {
        "query": "w79 w78",
        "documents": [" ".join(f"w{n}" for n in range(40, 80))],
        "use_activation": False,
    }
    sides = {
        side: post(service, "/rerank?encoder=cross", **long, truncation_side=side)["results"][0][
            "relevance_score"
        ]
        for side in ("right", "left")
    }
    assert sides == {"right": -2.0, "left": 0.0}


REFUSED = [
    (
        {"query": "w1", "texts": ["w1"]},
        "/rerank?encoder=dense",
        424,
        "dense is a dense encoder, which this path does not",
    ),
    ({"query": "w1", "texts": ["w1"]}, "/rerank", 404, "has 3 encoders and the request names none"),
    ({"query": "", "texts": ["w1"]}, "/rerank?encoder=cross", 400, "the query is empty"),
    ({"query": "w1", "texts": []}, "/rerank?encoder=cross", 400, "there is no text"),
    ({"query": "w1" * 600, "texts": ["w1"] * 60_000}, "/rerank?encoder=late", 422, "counted per document"),
    (
        {"query": "w1", "texts": ["w1"] * 65_537},
        "/rerank?encoder=late",
        422,
        "at most 65536 documents: 65537",
    ),
    (
        {"query": "w1", "texts": ["w1"]},
        "/rerank?encoder=late&dim=8",
        422,
        "no dims to choose from: 8",
    ),
    ({"query": "w1", "texts": ["w1"]}, "/rerank?encoder=cross&exit=3", 422, "no exit after this layer: 3"),
    ({"inputs": "w1"}, "/embed?encoder=cross", 424, "cross is a reranker encoder, which this path does not"),
    (
        {"inputs": "w1"},
        "/embed_all?encoder=dense",
        424,
        "dense is a dense encoder, which this path does not serve",
    ),
    ({"inputs": "w1"}, "/embed_all?encoder=late&dim=8", 422, "compared at their full length: 8"),
    ({"inputs": ""}, "/embed_all?encoder=late", 400, "a text is empty"),
]


@pytest.mark.parametrize(("body", "path", "status", "message"), REFUSED)
def test_what_is_refused(service: str, body: dict[str, object], path: str, status: int, message: str) -> None:
    answer = httpx.post(f"{service}{path}", json=body)
    assert (answer.status_code, message in answer.json()["error"]) == (status, True), answer.text


def test_token_vectors_are_those_of_documents_on_every_path(service: str) -> None:
    (documents,) = post(service, "/embed_all?encoder=late", inputs="w16 w30", prompt_name="document")
    (by_default,) = post(service, "/embed_all?encoder=late", inputs="w16 w30")
    (pooled,) = post(service, "/pooling", model="late", input="w16 w30")["data"]
    assert documents == by_default == pooled["data"]
    (queries,) = post(service, "/embed_all?encoder=late", inputs="w16 w30", prompt_name="query")
    (unprompted,) = post(service, "/embed_all?encoder=late", inputs="w16 w30", prompt_name="")
    assert unprompted not in (documents, queries), "an empty name is no prompt"


@pytest.mark.parametrize(
    ("path", "more", "message"),
    [
        ("/v2/rerank?encoder=cross", {"top_n": 1, "top_k": 2}, "top_n=1, top_k=2"),
        ("/v2/rerank?encoder=cross&prompt=typo", {}, "typo"),
        ("/v2/rerank?encoder=late&prompt=typo", {}, "typo"),
    ],
)
def test_what_would_be_ignored_is_refused(
    service: str, path: str, more: dict[str, object], message: str
) -> None:
    body = {"query": ASK, "documents": TEXTS}
    refused = httpx.post(f"{service}{path}", json={**body, **more})
    assert refused.status_code in (400, 422)
    assert message in refused.json()["message"]
    assert len(post(service, "/v2/rerank?encoder=cross", **body, top_n=2, top_k=2)["data"]) == 2


def test_token_vectors_have_no_other_dim_on_vllm_s_path(service: str) -> None:
    body = {"model": "late", "input": "w1"}
    (whole,) = post(service, f"/pooling?dim={DIM}", **body)["data"]
    assert np.shape(whole["data"])[1] == DIM
    refused = httpx.post(f"{service}/pooling", json={**body, "dimensions": 8})
    assert refused.status_code == 400
    assert "compared at their full length: 8" in refused.json()["error"]["message"]


def test_clients_of_cohere_and_tei(service: str) -> None:
    v2 = cohere.ClientV2(api_key="none", base_url=service)
    found = v2.rerank(model="cross", query=ASK, documents=TEXTS, top_n=2)
    assert [one.index for one in found.results] == [3, 1]
    v1 = cohere.Client(api_key="none", base_url=service)
    told = v1.rerank(model="late", query=ASK, documents=TEXTS, return_documents=True)
    # A query of six tokens has no room for its fourth word, which tells the two apart.
    assert [one.index for one in told.results][:2] == [1, 3]
    assert told.results[0].document is not None
    assert told.results[0].document.text == TEXTS[1]
    with pytest.raises(cohere.NotFoundError, match="dense is a dense encoder"):
        v2.rerank(model="dense", query="w1", documents=["w1"])
    (empty,) = v2.rerank(model="cross", query="w1", documents=[""]).results
    assert empty.relevance_score == 0


def test_the_client_of_tei_and_the_only_encoder_that_can_rank(
    counting: tuple[str, Counting], tmp_path: Path
) -> None:
    encoders = open_encoders(tmp_path / "models", ("cross", "dense"))
    embedder = Embedder(encoders, Counting(), ServiceSettings())  # type: ignore[arg-type]
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        client = HttpClient(address)
        assert "reranker" in httpx.get(f"{address}/info").json()["model_type"]
        found = client.rerank(ASK, TEXTS, raw_scores=True, return_text=True, truncate=True)
        assert [(one.index, one.score) for one in found.ranks][:2] == [(3, 2.0), (1, 1.0)]


def test_info_names_the_activation(service: str) -> None:
    found = httpx.get(f"{service}/info").json()["encoders"]
    assert (found["cross"]["activation"], found["late"]["activation"]) == ("sigmoid", None)


def test_as_milvus_writes_it(service: str) -> None:
    """The requests of the ``tei``, ``vllm`` and ``cohere`` rerankers (contracts: Milvus's wire)."""
    headers = {"content-type": "application/json", "user-agent": "Go-http-client/1.1"}
    asked = {
        "/rerank?encoder=cross": b'{"query":"w1","texts":["w1 w2","w3"],"truncate":true,'
        b'"truncation_direction":"Right"}',
        "/v1/rerank?encoder=cross": b'{"query":"w1","documents":["w1 w2","w3"]}',
        "/rerank?encoder=late": b'{"query":"w1","documents":["w1 w2","w3"],"truncate_prompt_tokens":100}',
        "/v2/rerank": b'{"model":"cross","query":"w1","documents":["w1 w2","w3"]}',
    }
    for path, body in asked.items():
        answer = httpx.post(f"{service}{path}", content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        rows = told if isinstance(told, list) else told["results"]
        assert [one["index"] for one in rows] == [0, 1]
        name = "score" if isinstance(told, list) else "relevance_score"
        assert all(isinstance(one[name], float) and 0 < one[name] < 1 for one in rows)


def test_relevance_keeps_order_where_float32_would_not() -> None:
    found = score_logits(np.float32([40.0, 30.0, -800.0, 0.0]))
    assert found.relevance[0] >= found.relevance[1] > found.relevance[3] == 0.5
    assert found.relevance[2] == 0.0
    assert found.order() == [0, 1, 3, 2]
    assert found.order(2) == [0, 1]


def test_late_relevance_is_between_0_and_1() -> None:
    query = np.float32([[1, 0], [0, 1]])
    found = score_late_interaction(query, [query, -query, np.zeros((0, 2), np.float32)])
    assert found.relevance.tolist() == [1.0, 0.5, 0.5]
    assert found.raw.tolist() == [2.0, 0.0, 0.0]


def test_late_interaction_does_not_truncate_on_the_left(service: str) -> None:
    long = " ".join(f"w{number}" for number in range(100, 140))
    fits = {"query": ASK, "texts": TEXTS, "truncate": True, "truncation_direction": "Left"}
    assert len(post(service, "/rerank?encoder=late", **fits)) == 4
    answer = httpx.post(f"{service}/rerank?encoder=late", json=fits | {"texts": [*TEXTS, long]})
    assert answer.status_code == 422
    assert "late truncates texts on the right only, and one is too long" in answer.json()["error"]
    assert len(post(service, "/rerank?encoder=late", **fits | {"truncation_direction": "Right"})) == 4
