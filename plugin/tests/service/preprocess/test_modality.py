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
from nestvec.service.preprocess.inputs import InputPart, PlainText
from nestvec.service.preprocess.messages import Message, parse_message
from nestvec.service.preprocess.modality import as_modality, join_parts
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


def cohere(client: httpx.Client, *inputs: object, **fields: object) -> Any:
    return post(client, "/v2/embed", inputs=list(inputs), **fields)["embeddings"]["float"]


def said(text: str) -> dict[str, list[object]]:
    return {"content": [{"type": "text", "text": text}]}


def shown(url: str) -> dict[str, list[object]]:
    return {"content": [{"type": "image_url", "image_url": {"url": url, "detail": "low"}}]}


def test_cohere_s_inputs_are_what_they_say(client: httpx.Client) -> None:
    expected = np.float32(
        [*post(client, "/embed", inputs=[IDS]), *post(client, "/embed", inputs=[image(), "w7"])]
    )
    assert np.array_equal(np.float32(cohere(client, said(ADDRESS), shown(image()), said("w7"))), expected)
    plain = {"content": [{"type": "image_url", "image_url": image()}]}
    assert np.array_equal(np.float32(cohere(client, plain)), expected[1:2])
    many = [said(f"w{number}") for number in range(300)]  # beyond what is parsed at once
    texts = [f"w{number}" for number in range(300)]
    assert np.array_equal(np.float32(cohere(client, *many)), np.float32(post(client, "/embed", inputs=texts)))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"inputs": ["w1"]}, "body.inputs[0] is invalid: a text, not an object"),
        ({"inputs": [{}]}, "body.inputs[0] is invalid: an object without a content"),
        ({"inputs": [{"content": []}]}, "an input has no content"),
        ({"inputs": [{"content": "w1"}]}, "body.inputs[0].content is invalid: a text, not a list of parts"),
        ({"inputs": [{"content": [{"type": "text"}]}]}, "content[0] is invalid: neither a text"),
        (
            {"inputs": [{"content": [{"type": "audio", "text": "w1"}]}]},
            "content[0] is invalid: neither a text",
        ),
        ({"inputs": [{"content": [{"type": ["text"], "text": "w1"}]}]}, "is invalid"),
        ({"inputs": [{"content": [{"type": "image_url", "image_url": {}}]}]}, "an object without a url"),
        (
            {"inputs": [{"content": [{"type": "image_url", "image_url": 3}]}]},
            "not a url or an object",
        ),
        ({"inputs": [{"content": [{"type": "text", "text": 3}]}]}, "not a text"),
        ({"inputs": [{"content": said("w1")["content"] * 9}]}, "a list has at most 8: more than 8"),
        ({"inputs": [said("w1")] * 2049}, "a list has at most 2048: more than 2048"),
        ({"inputs": [{"content": [*said("w1")["content"], *shown("x")["content"]]}]}, "not both"),
        ({"inputs": [said("w1"), shown("a frog")]}, "image 2 of 2 is not the address of an image"),
        ({"inputs": [said("w1")], "texts": ["w1"]}, "either texts, images or inputs"),
        ({"inputs": [said("w1")], "images": [image()]}, "either texts, images or inputs"),
    ],
)
def test_what_is_no_content(client: httpx.Client, body: dict[str, object], says: str) -> None:
    response = client.post("/v2/embed", json=body)
    assert response.status_code in (400, 404), response.text
    assert says in response.json()["message"]


def test_jina_s_objects(client: httpx.Client) -> None:
    expected = np.float32([*post(client, "/embed", inputs=[IDS]), *post(client, "/embed", inputs=[image()])])
    rows = post(client, "/v1/embeddings", input=[{"text": ADDRESS}, {"image": image()}])["data"]
    assert np.array_equal(np.float32([row["embedding"] for row in rows]), expected)
    for body, says in (
        ({"input": [{"text": "w1", "image": image()}]}, "not an object with either a text or an image"),
        ({"input": [{}]}, "not an object with either a text or an image"),
        ({"input": [{"text": "w1"}, "w2"]}, "body.input[1] is invalid: a text, not an object"),
        ({"input": [{"image": "a frog"}]}, "image 1 of 1 is not the address of an image"),
        ({"input": [{"text": "w1"}], "modality": "image"}, "modality=image beside text"),
        ({"input": []}, "there is no text"),
    ):
        response = client.post("/v1/embeddings", json=body)
        assert response.status_code == 400
        assert says in response.json()["error"]["message"]
    assert client.post("/v1/embeddings?modality=image", json={"input": [{"text": "w1"}]}).status_code == 400
    # Other paths take no objects.
    assert client.post("/embed", json={"inputs": [{"text": "w1"}]}).status_code == 422


def test_a_text_and_an_image_are_a_message(write_encoder: Callable[..., Path]) -> None:
    chat = ChatLayout(pictured="<pic> {text} w9", alone="{text} w9", placeholder="<pic>", token=9, count=3)
    tower = TEXT.model_copy(update={"chat": chat, "image_transform": IMAGE.image_transform})
    encoder = open_encoders(write_encoder(towers={"text": tower}, layers=(1,)).parent)["tiny"]
    text, picture = InputPart("text", "w5"), InputPart("image", ADDRESS)
    value, modality = join_parts([text, picture], encoder)
    assert modality is None
    assert parse_message(value) == Message("w5", ADDRESS)
    assert join_parts([picture], encoder) == (ADDRESS, "image")
    with pytest.raises(BodyInvalid, match="more than a text and an image: 2 parts"):
        join_parts([text, text], encoder)
