"""What a client says its inputs are, on every path that embeds; the token ids of a text are the reference."""

from __future__ import annotations

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
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.preprocess.inputs import PlainText
from nestvec.service.preprocess.modality import as_modality
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import BodyInvalid
from nestvec_schemas.preprocessing.chat import ChatLayout

ADDRESS = "https://example.org/a.png"
"""Nothing is fetched from it: the policy of the tests takes no host."""

ALMOST = "http:/example.org/a.png"

IDS = [2, 1, 3]
"""The tiny tokenizer's ids of a text of one word that it does not know."""


def image(level: int = 200) -> str:
    file = io.BytesIO()
    Image.new("RGB", (16, 12), (level, 0, 0)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@pytest.fixture
def client(write_encoder: Callable[..., Path]) -> Iterator[httpx.Client]:
    folder = write_encoder(towers={"text": TEXT, "image": IMAGE}, layers=(1,))
    embedder = Embedder(open_encoders(folder.parent), FakeEngine({"tiny": 16}), ServiceSettings())
    with (
        serve_in_thread(embedder, bind("127.0.0.1", 0)) as address,
        httpx.Client(base_url=address, timeout=60, trust_env=False) as opened,
    ):
        yield opened


def post(client: httpx.Client, path: str, **body: object) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


Send = Callable[[httpx.Client, str, list[str]], Any]

PATHS: dict[str, Send] = {
    "/embed": lambda client, query, texts: post(client, f"/embed{query}", inputs=texts),
    "/v1/embeddings": lambda client, query, texts: [
        row["embedding"] for row in post(client, f"/v1/embeddings{query}", input=texts)["data"]
    ],
    "/v2/embed": lambda client, query, texts: post(client, f"/v2/embed{query}", texts=texts)["embeddings"][
        "float"
    ],
    "/v1/embed": lambda client, query, texts: post(client, f"/v1/embed{query}", texts=texts)["embeddings"],
    "/pooling": lambda client, query, texts: [
        row["data"] for row in post(client, f"/pooling{query}", input=texts)["data"]
    ],
    "/pipeline/feature-extraction": lambda client, query, texts: post(
        client, f"/pipeline/feature-extraction{query}", inputs=texts
    ),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("text", [ADDRESS, ALMOST, "data:image/png;base64,AAAA"])
def test_a_text_stays_a_text(client: httpx.Client, path: str, text: str) -> None:
    response = client.post("/embed", json={"inputs": [text]})
    assert response.status_code >= 400  # by default it is an image, which cannot be read
    expected = np.float32(post(client, "/embed", inputs=[IDS]))
    assert np.array_equal(np.float32(PATHS[path](client, "?modality=text", [text])), expected)
    one_word = np.float32(PATHS[path](client, "?modality=text", ["w7"]))
    assert np.array_equal(one_word, np.float32(post(client, "/embed", inputs=["w7"])))


def test_a_prompt_goes_before_a_text_that_is_an_address(client: httpx.Client) -> None:
    expected = post(client, "/embed", inputs=[[2, 5, 1, 3]])
    body = {"inputs": [ADDRESS], "prompt_name": "query"}
    assert post(client, "/embed?modality=text", **body) == expected
    # Milvus puts the prompt itself.
    assert post(client, "/embed?modality=text&prompt=", inputs=[f"w1 {ADDRESS}"]) == expected


@pytest.mark.parametrize("path", PATHS)
def test_images_are_addresses(client: httpx.Client, path: str) -> None:
    expected = np.float32(post(client, "/embed", inputs=[image(), image(90)]))
    assert np.array_equal(np.float32(PATHS[path](client, "?modality=image", [image(), image(90)])), expected)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ([image(), "a frog"], "image 2 of 2 is not the address of an image: a text of 6 characters."),
        ([ALMOST], "an image's address is not written https://"),
        (["data:image/png;base64,AAAA"], "is not a supported image"),
    ],
)
def test_what_is_no_image(client: httpx.Client, inputs: list[str], says: str) -> None:
    refused = client.post("/embed?modality=image", json={"inputs": inputs})
    assert refused.status_code == 422
    assert says in refused.json()["error"]
    refused = client.post("/v1/embeddings", json={"input": inputs, "modality": "image"})
    assert refused.status_code == 400
    assert says in refused.json()["error"]["message"]


def test_openai_s_body_has_infinity_s_field(client: httpx.Client) -> None:
    (row,) = post(client, "/v1/embeddings", input=[ADDRESS], modality="text")["data"]
    assert np.array_equal(np.float32([row["embedding"]]), np.float32(post(client, "/embed", inputs=[IDS])))
    both = client.post("/v1/embeddings?modality=image", json={"input": [ADDRESS], "modality": "text"})
    assert both.status_code == 400
    assert "different modalities: modality=image in the query string, text in the body" in both.text
    assert client.post("/embed?modality=audio", json={"inputs": ["w1"]}).status_code == 422
    images = client.post("/v2/embed?modality=text", json={"images": [image()]})
    assert images.status_code == 400
    assert "different modalities" in images.json()["message"]


def test_scores_and_checks_of_texts(client: httpx.Client) -> None:
    body = {"text_1": ADDRESS, "text_2": [ADDRESS, "w7"]}
    same, other = post(client, "/score?modality=text", **body)["data"]
    assert same["score"] == pytest.approx(1, abs=1e-6)
    assert other["score"] < 0.99
    assert client.post("/score", json=body).status_code == 400
    assert post(client, "/check?modality=text", inputs=[ADDRESS])["failed"] == []
    assert len(post(client, "/check", inputs=[ADDRESS])["failed"]) == 1
    assert client.post("/check?modality=image", json={"inputs": ["w1"]}).status_code == 422


def test_a_long_text_is_as_long_as_others_may_be(client: httpx.Client) -> None:
    text = "data:image/png;base64," + "A" * (1 << 21)
    refused = client.post("/embed?modality=text", json={"inputs": [text]})
    assert refused.status_code == 422
    assert "characters" in refused.json()["error"]


@pytest.mark.parametrize(
    ("towers", "modality", "says"),
    [("text", "image", "tiny takes no images"), ("image", "text", "tiny takes images and no text")],
)
def test_an_encoder_of_the_other_kind(
    write_encoder: Callable[..., Path], towers: str, modality: str, says: str
) -> None:
    tower = {"text": TEXT, "image": IMAGE}[towers]
    folder = write_encoder(towers={towers: tower}, layers=(1,), prompts={})
    embedder = Embedder(open_encoders(folder.parent), FakeEngine({"tiny": 16}), ServiceSettings())
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        refused = httpx.post(f"{address}/embed?modality={modality}", json={"inputs": ["w1"]}, trust_env=False)
        assert refused.status_code == 424
        assert refused.json()["error"].startswith(says)


def test_messages(write_encoder: Callable[..., Path]) -> None:
    """A chat model's message holds what would otherwise be taken for an address or a message."""
    chat = ChatLayout(pictured="<pic> {text} w9", alone="{text} w9", placeholder="<pic>", token=9, count=3)
    tower = TEXT.model_copy(update={"chat": chat, "image_transform": IMAGE.image_transform})
    encoder = open_encoders(write_encoder(towers={"text": tower}, layers=(1,)).parent)["tiny"]
    message = '{"text": "w5"}'
    assert as_modality([ADDRESS, message, "w5", [2, 3]], encoder, "text") == [
        f'{{"text": "{ADDRESS}"}}',
        '{"text": "{\\"text\\": \\"w5\\"}"}',
        "w5",
        [2, 3],
    ]
    pictured = f'{{"image": "{ADDRESS}", "text": "w5"}}'
    assert as_modality([ADDRESS, pictured], encoder, "image") == [ADDRESS, pictured]
    for text in (message, "w5"):
        with pytest.raises(BodyInvalid, match=r"image 2 of 2 is not the address of an image"):
            as_modality([ADDRESS, text], encoder, "image")
    assert not any(isinstance(value, PlainText) for value in as_modality([ADDRESS], encoder, None))
