"""An image and a text in one VARCHAR: tiny vision-language models in Milvus Lite, searched by either."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import numpy as np
import pytest
import tiny_vision_language
from integration_tests.fixtures.services import Serve
from pymilvus import DataType, MilvusClient

import nestvec
from nestvec.images import ImagePolicy
from nestvec.service.settings import ServiceSettings
from nestvec.sql import execute
from nestvec_exporters import ExportOptions, Overrides, export
from nestvec_exporters.probes.images import probe_images
from nestvec_schemas.vectors import Vectors

PROMPTS = Overrides(query_prompt="Find: ", document_prompt="Represent: ")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``models`` with ``qwen`` and ``llava``; ``images`` with some drawn ones."""
    folder = tmp_path_factory.mktemp("messages")
    for name, write in (
        ("qwen", tiny_vision_language.write_qwen),
        ("llava", tiny_vision_language.write_llava),
    ):
        checkpoint = str(write(folder / name))
        export(ExportOptions(checkpoint, folder / "models", name, overrides=PROMPTS, verify="quick"))
    (folder / "pictures").mkdir()
    for number, one in enumerate(probe_images()[:8]):
        one.save(folder / "pictures" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def service(place: Path, serve: Serve) -> str:
    settings = ServiceSettings(
        images=ImagePolicy(frozenset({"file"}), roots=((place / "pictures").resolve(),))
    )
    return serve(place / "models", settings)


def said(place: Path, number: int, text: str = "") -> str:
    return json.dumps({"image": (place / "pictures" / f"{number}.png").resolve().as_uri(), "text": text})


def values(place: Path) -> list[str]:
    captions = ("a cloud", "a red one", "", "two boxes")
    both = [said(place, number, captions[number % 4]) for number in range(8)]
    return [*both, json.loads(both[0])["image"], "a text alone", '{"text": "another"}']


def vectors(service: str, encoder: str, inputs: list[str], query: str = "") -> Vectors:
    answer = httpx.post(
        f"{service}/embed?encoder={encoder}{query}", json={"inputs": inputs}, timeout=120, trust_env=False
    )
    assert answer.status_code == 200, answer.text
    return np.array(answer.json(), np.float32)


@pytest.mark.parametrize("encoder", ["qwen", "llava"])
def test_texts_and_messages_find_messages(
    encoder: str, place: Path, service: str, client: MilvusClient
) -> None:
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("item", DataType.VARCHAR, max_length=8192)
    nestvec.add_embedding(schema, "item", encoder=encoder, dims=[32], service=service)
    client.create_collection("items", schema=schema, index_params=nestvec.index_params(schema))
    stored = values(place)
    client.insert("items", [{"id": at, "item": one} for at, one in enumerate(stored)])
    own = vectors(service, encoder, stored)
    for query in ("a red one", said(place, 3, "two boxes"), said(place, 3, "a red one")):
        (asked,) = vectors(service, encoder, [query])
        (hits,) = client.search("items", data=[query], anns_field="item_32", limit=4)
        scores = own @ asked
        assert [hit["id"] for hit in hits] == np.argsort(-scores, kind="stable")[:4].tolist()
        np.testing.assert_allclose([hit["distance"] for hit in hits], np.sort(scores)[::-1][:4], atol=1e-4)
    answer = execute(client, "SELECT id FROM items ORDER BY item_32 <=> 'a text alone' LIMIT 1")
    assert [row[0] for row in answer.rows] == [9]
    answer = execute(client, f"SELECT id FROM items ORDER BY item_32 <=> '{stored[3]}' LIMIT 1")
    assert [row[0] for row in answer.rows] == [3]


def test_one_bad_message_among_many(place: Path, service: str) -> None:
    missing = said(place, 99, "a cloud")
    inputs = [said(place, 0), missing, "a string"]
    refused = httpx.post(
        f"{service}/embed?encoder=qwen", json={"inputs": inputs}, trust_env=False, timeout=60
    )
    assert refused.status_code == 422
    assert "input 2 of 3" in refused.json()["error"]
    found = vectors(service, "qwen", inputs, "&on_error=zero")
    assert [bool(row.any()) for row in found] == [True, False, True]
