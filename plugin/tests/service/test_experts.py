"""Experts from the request to the engine's part, without weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.manifest import parse_manifest
from nestvec_schemas.repository import MANIFEST, TOKENIZER, part_folder


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine({"tiny": 16})


@pytest.fixture
def service(write_encoder: Callable[..., Path], engine: FakeEngine) -> Iterator[str]:
    models = write_encoder(experts={"bio": "a", "law-eu": "b"}).parent
    with serve_in_thread(
        Embedder(open_encoders(models), engine, ServiceSettings()), bind("127.0.0.1", 0)
    ) as address:
        yield address


@pytest.mark.parametrize(
    ("path", "body", "part", "exit"),
    [
        ("/embed?expert=bio", {"inputs": "w1"}, "bio", 0),
        ("/embed?encoder=tiny@law-eu@2", {"inputs": "w1"}, "law-eu", 2),
        ("/embed?encoder=tiny@bio&expert=bio", {"inputs": "w1"}, "bio", 0),
        ("/v1/embeddings", {"input": "w1", "model": "tiny@bio@2"}, "bio", 2),
        ("/v1/embeddings?encoder=tiny", {"input": "w1", "model": "tiny@bio"}, "bio", 0),
        ("/v1/embeddings?encoder=tiny", {"input": "w1", "model": "gpt@bio"}, "", 0),
        ("/v2/embed", {"texts": ["w1"], "model": "tiny@bio", "input_type": "search_query"}, "bio", 0),
        ("/embed", {"inputs": "w1", "encoder": "tiny@bio"}, "bio", 0),
    ],
)
def test_a_request_reaches_its_expert(
    service: str, engine: FakeEngine, path: str, body: dict[str, Any], part: str, exit: int
) -> None:
    answer = httpx.post(f"{service}{path}", json=body)
    assert answer.status_code == 200, answer.text
    assert (engine.parts, engine.exits) == ([part], [exit])


def test_tokens_are_those_of_the_expert_s_own_tokenizer(write_encoder: Callable[..., Path]) -> None:
    folder = write_encoder(experts={"bio": "a", "law": "b"})
    path = folder / MANIFEST
    manifest = parse_manifest(path.read_bytes(), path=str(path))
    towers = {"expert_towers": {"bio": manifest.towers["text"]}}
    path.write_text(manifest.model_copy(update=towers).model_dump_json())
    own = part_folder(folder, "bio")
    own.mkdir(parents=True, exist_ok=True)
    tokenizer = json.loads((folder / TOKENIZER).read_bytes())
    tokenizer["model"]["vocab"] |= {"w1": 6, "w2": 5}  # each the other's id
    (own / TOKENIZER).write_text(json.dumps(tokenizer))
    engine = FakeEngine({"tiny": 16})
    embedder = Embedder(open_encoders(folder.parent), engine, ServiceSettings())
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:

        def ids(query: str) -> list[int]:
            body = {"inputs": "w1", "add_special_tokens": False}
            (tokens,) = httpx.post(f"{service}/tokenize{query}", json=body).raise_for_status().json()
            return [token["id"] for token in tokens]

        assert (ids(""), ids("?expert=law"), ids("?expert=bio")) == ([5], [5], [6])
        unknown = httpx.post(f"{service}/tokenize?expert=medicine", json={"inputs": "w1"})
        assert unknown.status_code == 422


def test_experts_do_not_share_what_is_remembered(service: str, engine: FakeEngine) -> None:
    for expert in ("", "?expert=bio", "?expert=law-eu", "?expert=bio"):
        httpx.post(f"{service}/embed{expert}", json={"inputs": "w1 w2"}).raise_for_status()
    assert engine.parts == ["", "bio", "law-eu"]


def test_the_nearest_expert_is_named(service: str) -> None:
    answer = httpx.post(f"{service}/embed?expert=law_eu", json={"inputs": "w1"})
    assert answer.status_code == 422
    assert "Available: bio, law-eu" in answer.text and "Did you mean 'law-eu'" in answer.text
