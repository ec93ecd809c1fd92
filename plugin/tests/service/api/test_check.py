"""/check: which inputs cannot be embedded, told by place, and nothing embedded twice."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from tiny_towers import IMAGE, TEXT

from nestvec.client import service_client
from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import fetch_info, find_unreadable
from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import ServiceRefused

NAMES = ("both", "seer", "film", "tiny", "ranker")
BROKEN = "data:image/png;base64,AAAA"


def address(colour: tuple[int, int, int]) -> str:
    file = io.BytesIO()
    Image.new("RGB", (16, 12), colour).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


RED, BLUE = address((255, 0, 0)), address((0, 0, 255))


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(dict.fromkeys(NAMES, 16))


@pytest.fixture
def service(write_encoder: Callable[..., Path], engine: FakeEngine) -> Iterator[str]:
    """``both`` reads texts and images, ``seer`` images, ``film`` two frames of them, ``tiny`` texts."""
    write_encoder("both", towers={"text": TEXT, "image": IMAGE}, layers=(1,), prompts={"document": "w5 "})
    write_encoder("seer", towers={"image": IMAGE}, layers=(1,), prompts={})
    film = IMAGE.model_copy(update={"frames": 2})
    write_encoder("film", towers={"image": film}, layers=(1,), prompts={})
    write_encoder("ranker", kind="reranker", dims=(16,), layers=(1,))
    models = write_encoder().parent
    with serve_in_thread(
        Embedder(open_encoders(models), engine, ServiceSettings()), bind("127.0.0.1", 0)
    ) as served:
        yield served


def test_bad_images_are_told_by_place(service: str) -> None:
    found = find_unreadable(
        EmbeddingRequest(service, EmbeddingConfig("both", 16)), ["w1", BROKEN, RED, "file:///etc/hostname"]
    )
    assert sorted(found) == [1, 3]
    assert "file" in str(found[3])
    assert all(one.cause and one.next_step for one in found.values())


def test_places_count_over_the_requests_that_it_takes(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_client, "REQUEST_TEXTS", 2)
    assert sorted(
        find_unreadable(
            EmbeddingRequest(service, EmbeddingConfig("both", 16)), [RED, BLUE, BLUE, BROKEN, BROKEN]
        )
    ) == [3, 4]


def test_what_is_no_image_cannot_be_embedded_by_who_reads_images_alone(service: str) -> None:
    found = find_unreadable(EmbeddingRequest(service, EmbeddingConfig("seer", 16)), ["a red flower", RED])
    assert list(found) == [0]
    assert "not the address of an image" in found[0].cause


def test_a_sequence_that_cannot_be_read_takes_no_other_with_it(service: str) -> None:
    found = find_unreadable(
        EmbeddingRequest(service, EmbeddingConfig("film", 16)), ["[1, 2", f'["{RED}", "{BLUE}"]', "[]"]
    )
    assert sorted(found) == [0, 2]


@pytest.mark.parametrize("prompted", [False, True])
def test_texts_are_not_embedded_and_images_once(service: str, engine: FakeEngine, prompted: bool) -> None:
    texts = ["w1", RED, "w2", BROKEN]
    assert list(
        find_unreadable(EmbeddingRequest(service, EmbeddingConfig("both", 16), has_role=prompted), texts)
    ) == [3]
    assert [count for _, count, _ in engine.batches] == [1]
    body = {"inputs": texts[:3], "prompt_name": "document" if prompted else None}
    httpx.post(f"{service}/embed?encoder=both", json=body).raise_for_status()
    assert [count for _, count, _ in engine.batches] == [1, 2]
    assert find_unreadable(EmbeddingRequest(service, EmbeddingConfig("tiny", 16)), texts) == {}
    assert len(engine.batches) == 2


def test_the_service_says_which_encoders_read_images(service: str) -> None:
    found = fetch_info(service).encoders
    assert {name: one.reads_images for name, one in found.items()} == {
        "both": True, "seer": True, "film": True, "tiny": False, "ranker": False,
    }  # fmt: skip


def test_an_encoder_that_embeds_nothing_has_nothing_to_check(service: str) -> None:
    with pytest.raises(ServiceRefused, match="a reranker encoder"):
        find_unreadable(EmbeddingRequest(service, EmbeddingConfig("ranker", 16)), [RED])
