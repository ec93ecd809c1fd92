"""/embed_sparse: TEI's contract, and what is asked for beyond it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import EMPTY_WEIGHTS, embed_sparse, embed_weights, fetch_info
from nestvec.engines.fake import FakeEngine, fake_vector
from nestvec.service.batching.batch_size import max_batch_tokens
from nestvec.service.batching.outputs import SPARSE_DTYPE, PartSpec, top_weights
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import ServiceRefused, ServiceUnreachable

DIM = 16
MANIFEST: dict[str, Any] = {"kind": "sparse", "dims": (DIM,), "layers": (4,), "normalised": False}


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine({"tiny": DIM, "words": DIM, "routed": DIM})


@pytest.fixture
def address(write_encoder: Callable[..., Path], engine: FakeEngine) -> Iterator[str]:
    """A service with ``tiny``, which is dense, ``words``, and ``routed``, whose queries an expert reads."""
    write_encoder()
    write_encoder("words", **MANIFEST)
    models = write_encoder("routed", **MANIFEST, experts={"query": "tests"}).parent
    with serve_in_thread(
        Embedder(open_encoders(models), engine, ServiceSettings()), bind("127.0.0.1", 0)
    ) as served:
        yield served


def weights(*ids: int) -> dict[int, float]:
    """What the engine gives above zero for a text of these ids, with special tokens around them."""
    row = fake_vector(np.array([2, *ids, 3]), DIM, 0)
    return {int(at): float(row[at]) for at in np.flatnonzero(row > 0)}


def post(address: str, body: object, query: str = "encoder=words") -> httpx.Response:
    return httpx.post(f"{address}/embed_sparse?{query}", json=body)


def test_the_weights_above_zero_by_index(address: str) -> None:
    answer = post(address, {"inputs": ["w1", "w2 w3"], "truncate": True})
    assert answer.status_code == 200
    for row, expected in zip(answer.json(), [weights(5), weights(6, 7)], strict=True):
        assert {one["index"]: np.float32(one["value"]) for one in row} == pytest.approx(expected)
        assert [one["index"] for one in row] == sorted(expected)
        assert all(set(one) == {"index", "value"} for one in row)
    assert answer.headers["x-compute-tokens"] == "7"
    assert post(address, {"inputs": "w1"}).json() == answer.json()[:1]
    assert post(address, {"inputs": [[2, 5, 3]]}).json() == answer.json()[:1]


def test_values_have_the_digits_of_32_bits(address: str) -> None:
    assert all(len(f"{one['value']}") < 15 for one in post(address, {"inputs": "w1"}).json()[0])


def test_words_and_the_largest_alone(address: str) -> None:
    (whole,) = post(address, {"inputs": "w1"}).json()
    (row,) = post(address, {"inputs": "w1"}, "encoder=words&top=2&words=true").json()
    largest = sorted(whole, key=lambda one: -one["value"])[:2]
    assert [{key: one[key] for key in ("index", "value")} for one in row] == sorted(
        largest, key=lambda one: one["index"]
    )
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{n}" for n in range(DIM))]
    assert [one["word"] for one in row] == [names[one["index"]] for one in row]


def test_a_prompt_goes_before_the_text(address: str) -> None:
    query = post(address, {"inputs": "w9", "prompt_name": "query"}).json()
    assert query == post(address, {"inputs": "w1 w9"}).json()


def test_queries_go_to_the_part_that_reads_them(address: str, engine: FakeEngine) -> None:
    asked: list[str] = []
    run = engine.run

    async def noted(encoder: str, batch: Any) -> Any:
        asked.append(batch.part)
        return await run(encoder, batch)

    engine.run = noted  # type: ignore[method-assign]
    for body in ({"inputs": "w1", "prompt_name": "query"}, {"inputs": "w2", "prompt_name": "document"}):
        assert post(address, body, "encoder=routed").status_code == 200
    assert post(address, {"inputs": "w3"}, "encoder=routed&expert=query").status_code == 200
    assert asked == ["query", "", "query"]


@pytest.mark.parametrize(
    ("body", "query", "status", "message"),
    [
        ({"inputs": []}, "encoder=words", 400, "there is no text"),
        ({"inputs": ["w1", ""]}, "encoder=words", 400, "a text is empty"),
        ({"inputs": ["w1"] * 2049}, "encoder=words", 422, "at most 2048 texts: 2049"),
        (
            {"inputs": "w1 " * 9, "truncate": False},
            "encoder=words",
            422,
            "more than the 8 tokens that words takes",
        ),
        ({"inputs": "w1"}, "encoder=tiny", 424, "tiny is a dense encoder"),
        ({"inputs": "w1"}, "encoder=words&dim=4", 422, "cannot be truncated: dim=4. Omit it, or"),
        ({"inputs": "w1"}, "encoder=words&top=0", 422, "query.top is invalid"),
        ({"inputs": "w1"}, "encoder=words&exit=2", 422, "no exit after this layer: 2"),
        ({"inputs": "w1", "prompt_name": "title"}, "encoder=words", 422, "has no prompt of this name: title"),
    ],
)
def test_what_is_refused(address: str, body: object, query: str, status: int, message: str) -> None:
    answer = post(address, body, query)
    assert (answer.status_code, message in answer.json()["error"]) == (status, True), answer.text


def test_a_sparse_encoder_has_no_dense_vectors(address: str) -> None:
    answer = httpx.post(f"{address}/embed?encoder=words", json={"inputs": "w1"})
    assert answer.status_code == 424
    assert "Use /embed_sparse" in answer.json()["error"]


def test_the_client_asks_in_chunks(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nestvec.client.service_client.REQUEST_TEXTS", 2)
    request = EmbeddingRequest(address, EmbeddingConfig("words", form="sparse"))
    found = embed_weights(request, ["w1", "w2", "w3"])
    assert [pytest.approx(one) for one in found] == [weights(5), weights(6), weights(7)]
    assert embed_weights(request, []) == []
    assert embed_weights(request, ["w9"], query=True) == embed_weights(request, ["w1 w9"])
    (words,) = embed_sparse(request, ["w1"])
    assert [(one.index, bool(one.word)) for one in words] == [(one, True) for one in sorted(weights(5))]
    assert fetch_info(address).encoder("words", address).kind == "sparse"


def test_a_text_without_words_is_not_empty(address: str, engine: FakeEngine) -> None:
    async def nothing(encoder: str, batch: Any) -> Any:
        return np.full((len(batch), DIM), -1, np.float32)

    engine.run = nothing  # type: ignore[method-assign]
    assert post(address, {"inputs": "w1"}).json() == [[]]
    assert embed_weights(EmbeddingRequest(address, EmbeddingConfig("words", form="sparse")), ["w1"]) == [
        EMPTY_WEIGHTS
    ]
    assert 0 < np.float32(EMPTY_WEIGHTS[0]) < 1e-20


def test_the_client_says_what_the_service_said(address: str) -> None:
    with pytest.raises(ServiceRefused, match=r"refused to embed 1 text with tiny: tiny is a dense encoder"):
        embed_weights(EmbeddingRequest(address, EmbeddingConfig("tiny", form="sparse")), ["w1"])
    with bind("127.0.0.1", 0) as listener:
        gone = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(ServiceUnreachable):
        embed_weights(EmbeddingRequest(gone, EmbeddingConfig("words", form="sparse")), ["w1"])


def test_the_heaviest_stay_in_order() -> None:
    given = np.array([(1, 0.5), (4, 2.0), (9, 1.0)], SPARSE_DTYPE)
    assert top_weights(given, 2)["index"].tolist() == [4, 9]
    assert top_weights(given, 3) is given
    assert top_weights(given, None) is given


def test_a_batch_has_room_for_a_number_a_token_and_word() -> None:
    assert max_batch_tokens(PartSpec("words", "", "sparse", 30_522, 256), 4096) == 2198
    assert max_batch_tokens(PartSpec("words", "", "sparse", 250_000, 256), 4096) == 512
    assert max_batch_tokens(PartSpec("tiny", "", "dense", 30_522, 256), 4096) == 4096


def test_the_largest_weights_are_asked_for_by_the_request(address: str) -> None:
    (whole,) = embed_weights(EmbeddingRequest(address, EmbeddingConfig("words", form="sparse")), ["w1"])
    (few,) = embed_weights(EmbeddingRequest(address, EmbeddingConfig("words", form="sparse", top=2)), ["w1"])
    assert len(few) == 2 < len(whole)
    assert few == {at: whole[at] for at in sorted(sorted(whole, key=lambda one: -whole[one])[:2])}
