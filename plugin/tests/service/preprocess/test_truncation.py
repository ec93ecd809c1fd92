from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.engines.fake import FakeEngine, fake_vector
from nestvec.service.embedder import Embedder, EmbedOptions
from nestvec.service.embedding_result import EmbeddingResult
from nestvec.service.encoders import open_encoders
from nestvec.service.preprocess.inputs import EmbedInput
from nestvec.service.preprocess.tokenizer import Direction
from nestvec.service.preprocess.truncation import MAX_CHUNKS, Overlong, Truncation, mean_of_chunks
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import EmptyInput, InputTooLong
from nestvec_schemas.towers import MAIN_PART
from nestvec_schemas.vectors import nest

LONG = " ".join(f"w{n}" for n in range(20))


def run(
    embedder: Embedder, inputs: list[EmbedInput], overlong: Overlong, direction: Direction | None = None
) -> EmbeddingResult:
    options = EmbedOptions(truncation=Truncation(overlong, direction))

    async def main() -> EmbeddingResult:
        embedder.start()
        try:
            return await asyncio.wait_for(embedder.embed("tiny", inputs, options), 120)
        finally:
            await embedder.close()

    return asyncio.run(main())


@given(st.lists(st.lists(st.integers(1, 512), min_size=1, max_size=5), max_size=5), st.integers(0, 2**32 - 1))
def test_a_mean_lies_where_its_tokens_are(weights: list[list[int]], seed: int) -> None:
    chunks = sum(map(len, weights))
    vectors = np.random.default_rng(seed).standard_normal((chunks, 8), dtype=np.float32)
    means = mean_of_chunks(vectors, weights)
    assert (means.dtype, means.shape) == (np.float32, (len(weights), 8))
    first = 0
    for mean, tokens in zip(means, weights, strict=True):
        its = vectors[first : first + len(tokens)]
        first += len(tokens)
        if len(tokens) == 1:
            assert np.array_equal(mean, its[0])
        np.testing.assert_allclose(mean * sum(tokens), np.float32(tokens) @ its, rtol=1e-3, atol=1e-2)


def test_equal_chunks_have_their_own_vector_as_mean() -> None:
    vectors = np.ones((3, 4), np.float32)
    assert np.array_equal(mean_of_chunks(vectors, [[5, 1], [2]]), vectors[:2])


def test_a_text_that_fits_is_the_same_under_every_setting(models_folder: Path) -> None:
    settings: tuple[Overlong, ...] = ("error", "truncate", "mean")
    found = [
        run(
            Embedder(open_encoders(models_folder), FakeEngine({"tiny": 16}), ServiceSettings()),
            ["w1 w2", [2, 7, 3], "w1 w2 w3 w4 w5 w6"],
            overlong,
        )
        for overlong in settings
    ]
    assert all(np.array_equal(one.vectors, found[0].vectors) for one in found)
    assert all((one.truncated, one.chunked) == (0, 0) for one in found)


def test_a_long_text_is_the_weighted_mean_of_its_chunks(embedder: Embedder) -> None:
    (chunks,) = embedder.encoders["tiny"].required_tokenizer.chunk([LONG])
    expected = np.average([fake_vector(ids, 16) for ids in chunks.ids], axis=0, weights=[6, 6, 6, 2])
    result = run(embedder, ["w1", LONG, list(range(2, 22))], "mean")
    np.testing.assert_allclose(result.vectors[1], expected, atol=1e-6)
    assert (result.truncated, result.chunked) == (0, 2)
    assert result.tokens == 3 + (20 + 4 * 2) + 20


@pytest.mark.parametrize("direction", ["left", "right"])
def test_a_long_text_that_has_no_mean_is_truncated_and_counted(
    models_folder: Path, direction: Direction
) -> None:
    encoder = open_encoders(models_folder)["tiny"]
    # Chunks are of the encoder's own tokens, which are not those of this part.
    encoder = replace(encoder, expert_tokenizers={MAIN_PART: encoder.required_tokenizer})
    vectors = []
    ways: tuple[Overlong, ...] = ("mean", "truncate")
    for overlong in ways:
        embedder = Embedder({"tiny": encoder}, FakeEngine({"tiny": 16}), ServiceSettings())
        result = run(embedder, ["w1", LONG], overlong, direction)
        assert (result.truncated, result.chunked) == (1, 0)
        vectors.append(result.vectors)
    assert np.array_equal(vectors[0], vectors[1])


def test_nothing_of_a_long_text_is_lost(embedder: Embedder, engine: FakeEngine) -> None:
    run(embedder, [LONG], "mean")
    assert sum(texts for _, texts, _ in engine.batches) == 4


@pytest.mark.parametrize(
    "one",
    ["w1 " * (6 * MAX_CHUNKS + 1), [5] * (8 * MAX_CHUNKS + 1), " " * (32 * 8 * MAX_CHUNKS) + "w1"],
    ids=["text", "token ids", "blank"],
)
def test_a_text_of_too_many_chunks_is_refused(
    embedder: Embedder, engine: FakeEngine, one: EmbedInput
) -> None:
    with pytest.raises(
        InputTooLong, match=r"more than 64 chunks of 8 tokens: its length is \d+\. Send it as"
    ):
        run(embedder, ["w1", one], "mean")
    assert engine.batches == []


@pytest.mark.parametrize("one", ["", []])
def test_an_empty_text_is_refused_in_chunks_too(embedder: Embedder, one: EmbedInput) -> None:
    with pytest.raises(EmptyInput):
        run(embedder, ["w1", one], "mean")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embed", {"inputs": [LONG, "w1"]}),
        ("/embed", {"inputs": [LONG, "w1"], "truncate": False}),
        ("/v1/embeddings", {"input": [LONG, "w1"]}),
        ("/v2/embed", {"texts": [LONG, "w1"], "input_type": "search_document", "truncate": "END"}),
    ],
)
def test_the_query_string_goes_before_body_and_server(service: str, path: str, body: object) -> None:
    answer = httpx.post(f"{service}{path}?overlong=mean", json=body)
    assert answer.status_code == 200, answer.text
    assert (answer.headers["x-nestvec-chunked"], answer.headers["x-nestvec-truncated"]) == ("1", "0")
    answer = httpx.post(f"{service}{path}?overlong=truncate", json=body)
    assert (answer.headers["x-nestvec-chunked"], answer.headers["x-nestvec-truncated"]) == ("0", "1")
    answer = httpx.post(f"{service}{path}?overlong=error", json=body)
    assert answer.status_code in (400, 422)
    assert "truncation is off" in answer.text
    assert "query.overlong is invalid" in httpx.post(f"{service}{path}?overlong=cut", json=body).text


def test_the_mean_is_cut_to_the_dim_and_then_normalised(service: str, embedder: Embedder) -> None:
    answer = httpx.post(f"{service}/embed?overlong=mean&dim=4", json={"inputs": LONG})
    (chunks,) = embedder.encoders["tiny"].required_tokenizer.chunk([LONG])
    mean = np.average([fake_vector(ids, 16) for ids in chunks.ids], axis=0, weights=[6, 6, 6, 2])
    np.testing.assert_allclose(answer.json(), nest(mean[None].astype(np.float32), 4), atol=1e-6)


@pytest.mark.parametrize(
    ("server", "truncate", "status", "cut", "chunked"),
    [
        ("error", None, 422, None, None),
        ("error", True, 200, "1", "0"),
        ("mean", None, 200, "0", "1"),
        ("mean", True, 200, "1", "0"),
        ("mean", False, 422, None, None),
    ],
)
def test_the_body_goes_before_the_server(
    models_folder: Path, server: Overlong, truncate: bool | None, status: int, cut: str, chunked: str
) -> None:
    embedder = Embedder(
        open_encoders(models_folder), FakeEngine({"tiny": 16}), ServiceSettings(overlong=server)
    )
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        answer = httpx.post(f"{service}/embed", json={"inputs": LONG, "truncate": truncate})
    assert answer.status_code == status
    assert answer.headers.get("x-nestvec-truncated") == cut
    assert answer.headers.get("x-nestvec-chunked") == chunked
