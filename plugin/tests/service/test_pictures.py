"""Pictures through the service with the fake engine: which tower, which rows, what becomes of a bad one."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedded, Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.inputs import Cut, Input
from nestvec.service.settings import Settings
from nestvec_schemas.errors import BodyInvalid, ImageRefused, ImageUnreadable, NotOffered
from nestvec_schemas.pixels import Picture
from nestvec_schemas.towers import Tower

TEXT = Tower(
    inputs=("input_ids", "attention_mask"), output="sentence_embedding", pooling="mean", max_tokens=8
)
IMAGE = Tower(
    inputs=("pixels",),
    output="sentence_embedding",
    pooling="cls",
    max_tokens=4,
    picture=Picture(height=8, width=8, resize="exact"),
)


def address(colour: tuple[int, int, int], size: tuple[int, int] = (16, 12)) -> str:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


RED, BLUE = address((255, 0, 0)), address((0, 0, 255))


@pytest.fixture
def two_towers(write_encoder: Callable[..., Path]) -> Embedder:
    folder = write_encoder(towers={"text": TEXT, "image": IMAGE}, layers=(1,))
    return Embedder(open_encoders(folder.parent), FakeEngine({"tiny": 16}), Settings())


def embed(embedder: Embedder, inputs: list[Input], cut: Cut | None = None) -> Embedded:
    async def main() -> Embedded:
        embedder.start()
        try:
            return await asyncio.wait_for(embedder.embed("tiny", inputs, cut or Cut()), 20)
        finally:
            await embedder.close()

    return asyncio.run(main())


def test_texts_and_pictures_share_a_request(two_towers: Embedder) -> None:
    engine: Any = two_towers.engine
    found = embed(two_towers, ["w1", RED, "w2", BLUE, RED])
    assert found.vectors.shape == (5, 16)
    assert np.array_equal(found.vectors[1], found.vectors[4])
    assert not np.array_equal(found.vectors[1], found.vectors[3])
    # The text tower and the image tower run apart, and the same picture once.
    assert sorted(count for _, count, _ in engine.batches) == [2, 2]
    assert found.tokens == 3 + 4 + 3 + 4 + 4


def test_a_bad_picture_refuses_the_request_and_says_which(two_towers: Embedder) -> None:
    with pytest.raises(ImageUnreadable, match=r"^input 3 of 4: "):
        embed(two_towers, [RED, RED, "data:image/png;base64,AAAA", BLUE])


def test_a_picture_from_where_none_may_come_is_refused(two_towers: Embedder) -> None:
    with pytest.raises(ImageRefused, match="file"):
        embed(two_towers, ["file:///etc/hostname"])


def test_with_zero_the_others_are_answered(two_towers: Embedder) -> None:
    found = embed(two_towers, ["w1", "data:image/png;base64,AAAA", BLUE], Cut(on_error="zero"))
    assert list(found.failed) == [1]
    assert not found.vectors[1].any()
    assert found.vectors[0].any() and found.vectors[2].any()


def test_a_sentence_about_an_address_is_a_text(two_towers: Embedder) -> None:
    engine: Any = two_towers.engine
    embed(two_towers, ["w1 https://example.org/a.png"])
    assert [tokens for _, _, tokens in engine.batches] == [4]


def test_without_a_tower_for_pictures_an_address_is_a_text(embedder: Embedder) -> None:
    assert embed(embedder, [RED]).vectors.shape == (1, 16)


def test_an_encoder_of_pictures_takes_no_text_and_no_ids(write_encoder: Callable[..., Path]) -> None:
    folder = write_encoder(towers={"image": IMAGE}, layers=(1,), prompts={})
    embedder = Embedder(open_encoders(folder.parent), FakeEngine({"tiny": 16}), Settings())
    with pytest.raises(ImageRefused, match="not the address of a picture"):
        embed(embedder, ["w1"])
    embedder = Embedder(open_encoders(folder.parent), FakeEngine({"tiny": 16}), Settings())
    with pytest.raises(BodyInvalid, match="takes pictures' addresses"):
        embed(embedder, [[2, 4, 3]])
    with pytest.raises(NotOffered, match="takes pictures, and no text"):
        _ = embedder.encoders["tiny"].tokeniser


def test_frames_are_named_as_a_list(write_encoder: Callable[..., Path]) -> None:
    film = IMAGE.model_copy(update={"frames": 2})
    folder = write_encoder(towers={"image": film}, layers=(1,), prompts={})
    embedder = Embedder(open_encoders(folder.parent), FakeEngine({"tiny": 16}), Settings())
    both, one = f'["{RED}", "{BLUE}"]', RED
    found = embed(embedder, [both, one])
    assert not np.array_equal(found.vectors[0], found.vectors[1])
