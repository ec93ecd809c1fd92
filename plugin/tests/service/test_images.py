"""Images through the service with the fake engine: which tower, which rows, what becomes of a bad one."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from tiny_towers import IMAGE, TEXT

from nestvec.engines.fake import FakeEngine
from nestvec.images import ImagePolicy
from nestvec.service.embedder import Embedder, EmbedOptions
from nestvec.service.embedding_result import EmbeddingResult
from nestvec.service.encoders import open_encoders
from nestvec.service.preprocess.inputs import EmbedInput, ModelInput
from nestvec.service.preprocess.prepare import prepare_inputs
from nestvec.service.preprocess.truncation import Truncation
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import BodyInvalid, ImageRefused, ImageUnreadable, NotOffered


def address(colour: tuple[int, int, int], size: tuple[int, int] = (16, 12)) -> str:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


RED, BLUE = address((255, 0, 0)), address((0, 0, 255))


@pytest.fixture
def two_towers(write_encoder: Callable[..., Path]) -> Embedder:
    folder = write_encoder(towers={"text": TEXT, "image": IMAGE}, layers=(1,))
    return Embedder(open_encoders(folder.parent), FakeEngine({"tiny": 16}), ServiceSettings())


def embed(
    embedder: Embedder, inputs: list[EmbedInput], options: EmbedOptions | None = None
) -> EmbeddingResult:
    async def main() -> EmbeddingResult:
        embedder.start()
        try:
            return await asyncio.wait_for(embedder.embed("tiny", inputs, options or EmbedOptions()), 120)
        finally:
            await embedder.close()

    return asyncio.run(main())


def test_texts_and_images_share_a_request(two_towers: Embedder) -> None:
    engine: Any = two_towers.engine
    found = embed(two_towers, ["w1", RED, "w2", BLUE, RED])
    assert found.vectors.shape == (5, 16)
    assert np.array_equal(found.vectors[1], found.vectors[4])
    assert not np.array_equal(found.vectors[1], found.vectors[3])
    # The text tower and the image tower run apart, and the same image once.
    assert sorted(count for _, count, _ in engine.batches) == [2, 2]
    assert found.tokens == 3 + 4 + 3 + 4 + 4


def test_a_bad_image_refuses_the_request_and_says_which(two_towers: Embedder) -> None:
    with pytest.raises(ImageUnreadable, match=r"^input 3 of 4: "):
        embed(two_towers, [RED, RED, "data:image/png;base64,AAAA", BLUE])


def test_an_image_from_where_none_may_come_is_refused(two_towers: Embedder) -> None:
    with pytest.raises(ImageRefused, match="file"):
        embed(two_towers, ["file:///etc/hostname"])


def test_with_zero_the_others_are_answered(two_towers: Embedder) -> None:
    found = embed(two_towers, ["w1", "data:image/png;base64,AAAA", BLUE], EmbedOptions(on_error="zero"))
    assert list(found.failed) == [1]
    assert not found.vectors[1].any()
    assert found.vectors[0].any() and found.vectors[2].any()


def test_with_zero_a_sparse_encoder_gives_a_bad_image_no_weight(write_encoder: Callable[..., Path]) -> None:
    towers = {"text": TEXT, "image": IMAGE}
    folder = write_encoder(towers=towers, layers=(1,), kind="sparse", dims=(16,))
    embedder = Embedder(open_encoders(folder.parent), FakeEngine({"tiny": 16}), ServiceSettings())
    body = {"inputs": ["w1", "data:image/png;base64,AAAA"]}
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        for query in ("", "&top=3", "&words=true"):
            answer = httpx.post(f"{service}/embed_sparse?on_error=zero{query}", json=body).raise_for_status()
            assert answer.headers["x-nestvec-failed"] == "1"
            text, image = answer.json()
            assert text and image == []


def test_a_sentence_about_an_address_is_a_text(two_towers: Embedder) -> None:
    engine: Any = two_towers.engine
    embed(two_towers, ["w1 https://example.org/a.png"])
    assert [tokens for _, _, tokens in engine.batches] == [4]


@pytest.mark.parametrize(
    "text",
    [
        "data:image/png;base64",
        "data:image/png;base64 AAAAAAAA",
        "http:/host/a.png",
        "https:host",
        "file:relative",
        "s3:/x",
        " https://example.org/a.png",
        "htp://example.org/a.png",
    ],
)
def test_what_is_almost_an_address_is_refused_and_not_embedded_as_a_text(
    two_towers: Embedder, text: str
) -> None:
    engine: Any = two_towers.engine
    with pytest.raises(ImageRefused, match=r"^input 2 of 2: an image's address (is not|has) "):
        embed(two_towers, ["w1", text])
    assert not engine.batches


def test_behind_a_prompt_it_is_refused_as_well(write_encoder: Callable[..., Path]) -> None:
    folder = write_encoder(towers={"text": TEXT, "image": IMAGE}, layers=(1,), prompts={"query": "w1 "})
    encoder = open_encoders(folder.parent)["tiny"]
    for text in ("w1 http:/host", "w1 data:image/png;base64"):
        assert encoder.without_prompt(text) == text.removeprefix("w1 ")
        assert encoder.tower_of(encoder.without_prompt(text)) == "image"
    assert encoder.without_prompt("w1 http is a protocol") == "w1 http is a protocol"


@pytest.mark.parametrize("text", ["http is a protocol", "data: 5 rows", "https", "file: see w1", "w1/w2"])
def test_a_sentence_about_addresses_is_a_text(two_towers: Embedder, text: str) -> None:
    assert two_towers.encoders["tiny"].tower_of(text) == "text"
    assert embed(two_towers, [text]).vectors.any()


def test_without_a_tower_for_images_an_address_is_a_text(embedder: Embedder) -> None:
    assert embed(embedder, [RED]).vectors.shape == (1, 16)


def test_an_encoder_of_images_takes_no_text_and_no_ids(write_encoder: Callable[..., Path]) -> None:
    folder = write_encoder(towers={"image": IMAGE}, layers=(1,), prompts={})
    embedder = Embedder(open_encoders(folder.parent), FakeEngine({"tiny": 16}), ServiceSettings())
    with pytest.raises(ImageRefused, match="not the address of an image"):
        embed(embedder, ["w1"])
    embedder = Embedder(open_encoders(folder.parent), FakeEngine({"tiny": 16}), ServiceSettings())
    with pytest.raises(BodyInvalid, match="takes the addresses of images"):
        embed(embedder, [[2, 4, 3]])
    with pytest.raises(NotOffered, match="takes images and no text"):
        _ = embedder.encoders["tiny"].required_tokenizer


def test_frames_are_named_as_a_list(write_encoder: Callable[..., Path]) -> None:
    film = IMAGE.model_copy(update={"frames": 2})
    folder = write_encoder(towers={"image": film}, layers=(1,), prompts={})
    embedder = Embedder(open_encoders(folder.parent), FakeEngine({"tiny": 16}), ServiceSettings())
    both, one = f'["{RED}", "{BLUE}"]', RED
    found = embed(embedder, [both, one])
    assert not np.array_equal(found.vectors[0], found.vectors[1])


def test_a_tower_that_reads_frames_in_order_is_told_which_are_there(
    write_encoder: Callable[..., Path],
) -> None:
    film = IMAGE.model_copy(update={"frames": 3, "inputs": ("pixels", "frame_mask")})
    folder = write_encoder(towers={"image": film}, layers=(1,), prompts={})
    encoder = open_encoders(folder.parent)["tiny"]
    values = [f'["{RED}", "{BLUE}"]', BLUE, f'["{RED}", "{BLUE}", "{RED}", "{RED}"]']
    rows = asyncio.run(prepare_inputs(encoder, "image", values, Truncation(), ImagePolicy()))
    assert all(isinstance(row, ModelInput) for row in rows)
    masks = [row.arrays["frame_mask"].tolist() for row in rows if isinstance(row, ModelInput)]
    assert masks == [[1, 1, 0], [1, 0, 0], [1, 1, 1]]
    levels = [row.arrays["pixels"] for row in rows if isinstance(row, ModelInput)]
    assert levels[0].shape == (3, *levels[0].shape[1:])
    assert not levels[0][2].any()
    assert np.array_equal(levels[0][1], levels[1][0])


def test_an_encoder_of_images_answers_what_milvus_asks_when_a_collection_is_made(
    write_encoder: Callable[..., Path],
) -> None:
    """Milvus embeds ``check`` and compares the dim (contracts: Milvus's wire)."""
    folder = write_encoder(towers={"image": IMAGE}, layers=(1,), prompts={})
    encoders = open_encoders(folder.parent)
    found = embed(Embedder(encoders, FakeEngine({"tiny": 16}), ServiceSettings()), ["check"])
    assert found.vectors.shape == (1, 16)
    with pytest.raises(ImageRefused, match=r"^input 2 of 2: "):
        embed(Embedder(encoders, FakeEngine({"tiny": 16}), ServiceSettings()), [RED, "check"])


def test_a_list_of_addresses_names_the_frames_of_one_input(write_encoder: Callable[..., Path]) -> None:
    film = IMAGE.model_copy(update={"frames": 2})
    folder = write_encoder(towers={"text": TEXT, "image": film}, layers=(1,), prompts={})
    tiny = open_encoders(folder.parent)["tiny"]
    assert tiny.tower_of(f'["{RED}", "{BLUE}"]') == "image"
    assert tiny.tower_of(RED) == "image"
    for text in ("[w1]", '["w1"]', "[", f'["{RED}", "w1"]', "[]"):
        assert tiny.tower_of(text) == "text"


def test_a_prompt_before_an_address_is_not_the_addresss(write_encoder: Callable[..., Path]) -> None:
    """Milvus puts the prompts of a ``tei`` function before every text (contracts: Milvus's wire)."""
    folder = write_encoder(towers={"text": TEXT, "image": IMAGE}, layers=(1,))
    tiny = open_encoders(folder.parent)["tiny"]
    assert tiny.without_prompt(f"w1 {RED}") == RED
    for one in ("w1 w2", RED, f"w2 {RED}", [2, 4, 3]):
        assert tiny.without_prompt(one) == one


@pytest.fixture
def faces(two_towers: Embedder) -> Iterator[httpx.Client]:
    with (
        serve_in_thread(two_towers, bind("127.0.0.1", 0)) as address,
        httpx.Client(base_url=address, timeout=120, trust_env=False) as client,
    ):
        yield client


def test_every_face_takes_addresses(faces: httpx.Client) -> None:
    tei = faces.post("/embed", json={"inputs": ["w1", RED, BLUE]})
    assert tei.headers["x-nestvec-failed"] == "0"
    expected = np.float32(tei.json())
    openai = faces.post("/v1/embeddings", json={"input": ["w1", RED, BLUE], "model": "tiny"}).json()
    assert np.array_equal(np.float32([row["embedding"] for row in openai["data"]]), expected)
    cohere = faces.post(
        "/v2/embed", json={"images": [RED, BLUE], "input_type": "image", "embedding_types": ["float", "int8"]}
    ).json()
    assert np.array_equal(np.float32(cohere["embeddings"]["float"]), expected[1:])
    assert cohere["meta"]["billed_units"] == {"images": 2}
    assert faces.get("/info").json()["encoders"]["tiny"]["towers"] == ["text", "image"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"images": [RED, "a frog"]}, "image 2 of 2 is not the address of an image"),
        ({"images": []}, "there is no text"),
        ({}, "there is no text"),
        ({"images": [RED], "texts": ["w1"]}, "has either texts, images or inputs"),
        ({"images": ["data:image/png;base64,AAAA"]}, "is not a supported image"),
    ],
)
def test_what_cohere_refuses_of_images(body: dict[str, object], says: str, faces: httpx.Client) -> None:
    answer = faces.post("/v2/embed", json={"input_type": "image", **body})
    assert answer.status_code in (400, 404)
    assert says in answer.json()["message"]


def test_one_bad_image_among_500(faces: httpx.Client) -> None:
    inputs = [f"w{number}" for number in range(499)]
    inputs.insert(250, "data:image/png;base64,AAAA")
    refused = faces.post("/embed", json={"inputs": inputs})
    assert refused.status_code == 422
    assert refused.json()["error"].startswith("input 251 of 500: ")
    zero = faces.post("/embed?on_error=zero", json={"inputs": inputs})
    assert zero.status_code == 200
    assert zero.headers["x-nestvec-failed"] == "1"
    vectors = np.float32(zero.json())
    assert not vectors[250].any()
    assert np.delete(vectors, 250, axis=0).any(axis=1).all()


UNREADABLE = "data:image/png;base64,AAAA"


@pytest.mark.parametrize("place", [0, 3, 700])
def test_a_document_that_cannot_be_read_is_scored_lowest(faces: httpx.Client, place: int) -> None:
    texts = [f"w{number}" for number in range(place + 5)]
    readable = faces.post("/score", json={"text_1": "w1", "text_2": [*texts, ""]}).json()["data"]
    scores = [entry["score"] for entry in readable]
    # Otherwise a score of 0, as a vector of zeros has it, would not be above any.
    assert -1 == scores[-1] < min(scores[:-1]) < 0
    documents = [*texts[:place], UNREADABLE, *texts[place:]]
    body = {"text_1": "w1", "text_2": documents}
    assert faces.post("/score", json=body).status_code == 400
    answer = faces.post("/score?on_error=zero", json=body)
    assert answer.headers["x-nestvec-failed"] == "1"
    beside = [entry["score"] for entry in answer.json()["data"]]
    assert beside.pop(place) == -1
    assert np.allclose(beside, scores[:-1])


@pytest.mark.parametrize("on_error", ["reject", "zero"])
def test_nothing_is_ranked_by_a_query_that_cannot_be_read(faces: httpx.Client, on_error: str) -> None:
    body = {"inputs": {"source_sentence": UNREADABLE, "sentences": ["w1", RED]}}
    answer = faces.post(f"/similarity?on_error={on_error}", json=body)
    assert answer.status_code == 422
    assert "is not a supported image" in answer.json()["error"]
