"""Messages of an image and a text: how a value says them, and their rows with the fake engine."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tokenizers import Tokenizer

from nestvec.engines.contract import Batch
from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder, EmbedOptions
from nestvec.service.embedding_result import EmbeddingResult
from nestvec.service.encoders import open_encoders
from nestvec.service.preprocess.inputs import EmbedInput, InstructedText, QueryDocument
from nestvec.service.preprocess.messages import Message, is_message, parse_message
from nestvec.service.preprocess.tokenizer import Direction
from nestvec.service.preprocess.truncation import Truncation
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import CacheLimits, ServiceSettings
from nestvec_schemas.errors import BodyInvalid, EmptyInput, ImageUnreadable, InputTooLong, NotOffered
from nestvec_schemas.preprocessing.chat import ChatLayout
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.preprocessing.pixels import ImageTransform
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

PLACE = 1004
CHAT = ChatLayout(pictured="<pic> {text} w9", alone="{text} w9", placeholder="<pic>", token=PLACE, count=3)
TOWER = Tower(
    inputs=("input_ids", "attention_mask", "pixels"),
    output="sentence_embedding",
    pooling="lasttoken",
    max_tokens=12,
    image_transform=ImageTransform(height=8, width=8, resize="exact"),
    chat=CHAT,
)


def address(colour: tuple[int, int, int]) -> str:
    file = io.BytesIO()
    Image.new("RGB", (16, 12), colour).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


RED, BLUE = address((255, 0, 0)), address((0, 0, 255))
BROKEN = "data:image/png;base64,AAAA"


def said(image: str | None = None, text: str | None = None) -> str:
    return json.dumps({key: one for key, one in (("image", image), ("text", text)) if one is not None})


class Keeping(FakeEngine):
    """Keeps the arrays of each batch."""

    def __init__(self) -> None:
        super().__init__({"tiny": 16})
        self.arrays: list[dict[str, Array]] = []

    async def run(self, encoder: str, batch: Batch) -> Vectors:
        self.arrays.append(dict(batch.arrays))
        return await super().run(encoder, batch)


@pytest.fixture
def chatting(write_encoder: Callable[..., Path]) -> Embedder:
    prompts = {"query": "w1 w2 ", "document": "w3 "}
    folder = write_encoder(towers={"text": TOWER}, layers=(1,), prompts=prompts)
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.add_special_tokens(["<pic>"])
    assert tokenizer.token_to_id("<pic>") == PLACE
    tokenizer.save(str(folder / TOKENIZER))
    return Embedder(open_encoders(folder.parent), Keeping(), ServiceSettings(cache=CacheLimits(max_bytes=0)))


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


def spelled(ids: Iterable[int]) -> str:
    """Ids as words, without padding: [ and ] around a text, # for the image's place."""
    marks = {2: "[", 3: "]", PLACE: "#"}
    return " ".join(marks.get(int(one), f"w{int(one) - 4}") for one in ids if one)


def written(embedder: Embedder, one: EmbedInput, options: EmbedOptions | None = None) -> str:
    embed(embedder, [one], options)
    engine: Any = embedder.engine
    return spelled(engine.arrays[-1]["input_ids"][0])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a red chair", Message("a red chair")),
        (RED, Message("", RED)),
        (said(RED, "a chair"), Message("a chair", RED)),
        (said(RED), Message("", RED)),
        (said(text="a chair"), Message("a chair")),
        ('{"image": null, "text": "x"}', Message("x")),
        ('{"image": "", "text": "x"}', Message("x")),
        (f'  {{"text": "x", "image": "{RED}"}} ', Message("x", RED)),
        ('{"title": "a chair"}', Message('{"title": "a chair"}')),
        ("{text} of a layout", Message("{text} of a layout")),
        ("[1, 2]", Message("[1, 2]")),
    ],
)
def test_a_value_is_a_text_an_address_or_both(value: str, expected: Message) -> None:
    assert parse_message(value) == expected
    assert is_message(value) == (expected != Message(value))


@pytest.mark.parametrize(
    ("value", "kind", "told"),
    [
        ('{"image": "a.png", "text": "x"}', BodyInvalid, "not the address of an image"),
        ('{"image": 3}', BodyInvalid, "image is not a string"),
        ('{"text": ["x"]}', BodyInvalid, "text is not a string"),
        (f'{{"image": "{RED}", "txt": "x"}}', BodyInvalid, "txt.*Did you mean .text"),
        (f'{{"image": "{RED}", "text": "x"', BodyInvalid, "not JSON"),
        ('{"text": "", "image": ""}', EmptyInput, "neither an image nor a text"),
        ('{"text": ' + "[" * 200_000, BodyInvalid, "not JSON"),
    ],
)
def test_what_is_wrong_with_a_message_is_said(value: str, kind: type[Exception], told: str) -> None:
    assert is_message(value)
    with pytest.raises(kind, match=told):
        parse_message(value)


@given(st.one_of(st.text(), st.text(alphabet='{}":imagetx, ')))
def test_any_value_is_read_or_refused(value: str) -> None:
    try:
        message = parse_message(value)
    except (BodyInvalid, EmptyInput):
        assert is_message(value)
        return
    assert is_message(value) or message == Message(value)


def test_texts_and_images_share_a_batch(chatting: Embedder) -> None:
    engine: Any = chatting.engine
    found = embed(chatting, ["w5", RED, said(RED, "w5"), said(BLUE, "w5"), said(RED, "w5")])
    assert found.vectors.shape == (5, 16)
    (arrays,) = engine.arrays
    assert arrays["pixels"].shape == (4, 8, 8, 3)
    pictured = (arrays["input_ids"] == PLACE).sum(axis=1)
    assert sorted(pictured.tolist()) == [0, 3, 3, 3]
    assert {tuple(row.reshape(-1, 3).mean(axis=0).astype(int)) for row in arrays["pixels"][pictured > 0]} == {
        (255, 0, 0),
        (0, 0, 255),
    }


def test_texts_alone_carry_no_pixels(chatting: Embedder) -> None:
    engine: Any = chatting.engine
    embed(chatting, ["w5", "w6 w7"])
    assert engine.arrays[0]["pixels"].shape == (2, 1, 1, 3)


def test_a_message_is_written_as_the_model_wants_it(chatting: Embedder) -> None:
    assert written(chatting, "w5") == written(chatting, said(text="w5")) == "[ w5 w9 ]"
    assert written(chatting, said(RED, "w5 w6")) == "[ # # # w5 w6 w9 ]"


def test_the_prompt_stands_before_the_text_and_is_not_cut(chatting: Embedder) -> None:
    long = InstructedText(said(RED, "w7 " + "w5 " * 20 + "w8"), "w1 w2 ")
    assert written(chatting, long) == "[ # # # w1 w2 w7 w5 w5 w5 w9 ]"
    assert (
        written(chatting, long, EmbedOptions(truncation=Truncation(direction="left")))
        == "[ # # # w1 w2 w5 w5 w5 w8 w9 ]"
    )
    assert embed(chatting, [long]).truncated == 1


@pytest.mark.parametrize("side", ["left", "right"])
def test_token_ids_lose_those_of_the_side_that_the_request_names(chatting: Embedder, side: Direction) -> None:
    ids = list(range(10, 30))
    kept = ids[:12] if side == "right" else ids[-12:]
    options = EmbedOptions(truncation=Truncation(direction=side))
    assert written(chatting, ids, options) == spelled(kept)


def test_characters_that_are_not_read_are_truncated(chatting: Embedder) -> None:
    blank = "w5" + " " * 2000 + "w6"
    assert written(chatting, blank) == "[ w5 w9 ]"
    assert embed(chatting, [blank]).truncated == 1
    with pytest.raises(InputTooLong, match="truncation is off"):
        embed(chatting, [blank], EmbedOptions(truncation=Truncation("error")))


def test_no_text_brings_an_image_of_its_own(chatting: Embedder) -> None:
    engine: Any = chatting.engine
    embed(chatting, ["w5 <pic> w6", said(RED, "<pic><pic>")])
    assert sorted((engine.arrays[0]["input_ids"] == PLACE).sum(axis=1).tolist()) == [0, 3]
    with pytest.raises(BodyInvalid, match="an image's placeholder but no image"):
        embed(chatting, [[2, PLACE, 3]])


def test_ids_that_a_client_made_are_taken_as_they_are(chatting: Embedder) -> None:
    assert written(chatting, [2, 9, 3]) == "[ w5 ]"


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (said(BROKEN, "w5"), ImageUnreadable),
        ('{"image": "a.png"}', BodyInvalid),
        ('{"text": ""}', EmptyInput),
    ],
)
def test_a_bad_message_is_told_by_its_place_or_left_out(
    bad: str, kind: type[Exception], chatting: Embedder
) -> None:
    with pytest.raises(kind, match=r"^input 2 of 3: "):
        embed(chatting, ["w5", bad, RED])
    found = embed(chatting, ["w5", bad, RED], EmbedOptions(on_error="zero"))
    assert list(found.failed) == [1]
    assert not found.vectors[1].any() and found.vectors[2].any()


def test_a_prompt_without_room_for_a_text_is_refused(chatting: Embedder) -> None:
    with pytest.raises(InputTooLong, match="shorten the prompt"):
        embed(chatting, [InstructedText(RED, "w1 " * 12)])
    with pytest.raises(InputTooLong, match="truncation is off"):
        embed(chatting, ["w5 " * 30], EmbedOptions(truncation=Truncation("error")))


def test_pairs_are_not_read(chatting: Embedder) -> None:
    with pytest.raises(NotOffered, match="does not take pairs of a query and a document"):
        embed(chatting, [QueryDocument("w1", "w2")])


def test_every_face_takes_messages_and_prompts(chatting: Embedder) -> None:
    engine: Any = chatting.engine
    with (
        serve_in_thread(chatting, bind("127.0.0.1", 0)) as base,
        httpx.Client(base_url=base, trust_env=False, timeout=120) as client,
    ):

        def rows(path: str, body: object) -> list[str]:
            before = len(engine.arrays)
            answer = client.post(path, json=body)
            assert answer.status_code == 200, answer.text
            return [spelled(row) for arrays in engine.arrays[before:] for row in arrays["input_ids"]]

        plain, asked = "[ # # # w5 w9 ]", "[ # # # w1 w2 w5 w9 ]"
        assert rows("/embed", {"inputs": [said(RED, "w5")]}) == [plain]
        assert rows("/embed", {"inputs": [said(RED, "w5")], "prompt_name": "query"}) == [asked]
        # Milvus puts a function's prompt before the value, whatever that is.
        assert rows("/embed", {"inputs": ["w1 w2 " + said(RED, "w5")]}) == [asked]
        assert rows("/embed?overlong=mean", {"inputs": [said(RED, "w5")]}) == [plain]
        assert rows("/v1/embeddings", {"model": "tiny", "input": [said(RED, "w5")]}) == [plain]
        cohere = {"model": "tiny", "images": [RED], "input_type": "image"}
        assert rows("/v2/embed", cohere) == ["[ # # # w9 ]"]
        tokens = client.post("/tokenize", json={"inputs": "w5", "prompt_name": "query"}).json()
        assert [token["text"] for token in tokens[0] if not token["special"]] == ["w1", "w2", "w5"]
        refused = client.post("/embed", json={"inputs": ['{"image": "a.png"}']})
        assert refused.status_code == 422
        assert "not the address of an image" in refused.json()["error"]


def test_milvus_finds_the_dim(chatting: Embedder) -> None:
    assert np.isfinite(embed(chatting, ["check"]).vectors).all()
