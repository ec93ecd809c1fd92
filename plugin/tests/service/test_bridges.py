"""A bridge is served as an encoder of its own, with the dims and the fingerprint of the other encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pymilvus import DataType, MilvusClient
from tiny_towers import IMAGE, TEXT

from nestvec.client.service_client import fetch_info
from nestvec.engines.fake import FakeEngine, fake_vector
from nestvec.milvus.registration import EmbeddingOptions, add_embedding
from nestvec.service.batching.input_keys import InputKeys
from nestvec.service.catalog.catalog import EncoderCatalog
from nestvec.service.catalog.instance import EncoderInstance
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders, resolve_encoder
from nestvec.service.engine_probe import probe_batches
from nestvec.service.preprocess.truncation import Truncation
from nestvec.service.prompts import choose_prompt, put_prompt
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.bridges.bridge import Bridge, Bridges, bridged_name
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import AliasInvalid, EncoderNotFound, PromptNotOffered
from nestvec_schemas.fingerprint import encoder_fingerprint
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.towers import EXIT_INPUT
from nestvec_schemas.vectors import normalise

GRAPH_DIM = 20
"""As long as the vectors of the longer bridge."""

OLD_FINGERPRINT = "0123456789abcdef"


def _bridge(exit: int, dims: tuple[int, ...]) -> Bridge:
    return Bridge(
        fingerprint=OLD_FINGERPRINT,
        mapped_from="fedcba9876543210",
        exit=exit,
        dim=dims[0],
        dims=dims,
        method="orthogonal",
        sample="papers",
        texts=300,
        compared={"orthogonal": 0.9},
        quality={dims[0]: 0.9},
    )


BRIDGES = Bridges(
    maps={"old": _bridge(5, (8, 4)), "long": _bridge(6, (GRAPH_DIM, 10)), "long.v2": _bridge(7, (6,))},
    unbridged_files={},
    has_own_exits=True,
)


SIDED = Bridges(
    maps={"old": _bridge(8, (GRAPH_DIM, 4)).model_copy(update={"query_exit": 9})},
    unbridged_files={},
    has_own_exits=True,
)
"""Queries have a head of their own."""


@pytest.fixture
def models(write_encoder: Callable[..., Path]) -> Path:
    """A repository with ``tiny``: 16 dims, exits 4 and 2, and the bridges ``old`` and ``long``."""
    return write_encoder(bridges=BRIDGES).parent


@pytest.fixture
def service(models: Path) -> Iterator[str]:
    engine = FakeEngine({"tiny": GRAPH_DIM})
    embedder = Embedder(open_encoders(models), engine, ServiceSettings())
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        yield address


def _row(models: Path, exit: int) -> np.ndarray[Any, Any]:
    """The graph's row for the text w1."""
    (tokens,) = open_encoders(models)["tiny"].required_tokenizer.encode(["w1"])
    return fake_vector(tokens.ids, GRAPH_DIM, exit)


@pytest.mark.parametrize(
    ("query", "exit", "dim"),
    [
        ("encoder=tiny&as=old", 5, 8),
        ("encoder=tiny.as.old", 5, 8),
        ("encoder=tiny&as=old&dim=4", 5, 4),
        ("encoder=tiny&as=long:2", 7, 6),
        ("encoder=tiny&as=long", 6, GRAPH_DIM),
        ("encoder=tiny", 0, 16),
        ("encoder=tiny&exit=2", 2, 16),
    ],
)
def test_a_request_selects_a_bridge(models: Path, service: str, query: str, exit: int, dim: int) -> None:
    answer = httpx.post(f"{service}/embed?{query}", json={"inputs": ["w1"]})
    assert answer.status_code == 200, answer.text
    expected = normalise(_row(models, exit)[None, :dim])
    np.testing.assert_allclose(np.float32(answer.json()), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("body", "exit"),
    [
        ({"inputs": ["w1"], "prompt_name": "query"}, 9),
        ({"inputs": ["w1"], "prompt_name": "document"}, 8),
        ({"inputs": ["w1"]}, 8),
    ],
)
def test_queries_have_a_head_of_their_own(
    write_encoder: Callable[..., Path], body: dict[str, Any], exit: int
) -> None:
    """A text of which no request says that it is a query has the head of documents."""
    models = write_encoder(bridges=SIDED, prompts={}).parent
    embedder = Embedder(open_encoders(models), FakeEngine({"tiny": GRAPH_DIM}), ServiceSettings())
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        answer = httpx.post(f"{address}/embed?encoder=tiny&as=old", json=body)
    expected = normalise(_row(models, exit)[None])
    np.testing.assert_allclose(np.float32(answer.json()), expected, atol=1e-6)


def test_a_text_of_both_sides_has_both_vectors(write_encoder: Callable[..., Path]) -> None:
    """The cache, too, tells them apart."""
    models = write_encoder(bridges=SIDED, prompts={}).parent
    embedder = Embedder(open_encoders(models), FakeEngine({"tiny": GRAPH_DIM}), ServiceSettings())
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        vectors = [
            httpx.post(f"{address}/embed?encoder=tiny.as.old", json={"inputs": ["w1"], "prompt_name": name})
            for name in ("query", "document", "query")
        ]
    query, document, again = (np.float32(answer.json()[0]) for answer in vectors)
    assert not np.allclose(query, document)
    np.testing.assert_array_equal(query, again)


def test_a_prompt_that_milvus_put_before_a_text_says_that_it_is_a_query(
    write_encoder: Callable[..., Path],
) -> None:
    folder = write_encoder(bridges=SIDED, prompts={"query": "w2 "})
    bridge = open_encoders(folder.parent)["tiny.as.old"]
    keys = InputKeys(bridge, EmbeddingConfig("tiny.as.old"), Truncation(), None)
    assert [keys.key(text).exit for text in ("w2 w1", "w1")] == [9, 8]


@pytest.mark.parametrize(
    ("prompts", "default"),
    [({"query": "w2 ", "document": "w2 "}, None), ({"query": "w2 "}, "query")],
)
def test_a_prompt_of_both_sides_does_not_make_documents_queries(
    write_encoder: Callable[..., Path], prompts: dict[str, str], default: str | None
) -> None:
    folder = write_encoder(bridges=SIDED, prompts=prompts, default_prompt=default)
    bridge = open_encoders(folder.parent)["tiny.as.old"]
    keys = InputKeys(bridge, EmbeddingConfig("tiny.as.old"), Truncation(), None)
    assert [keys.key(text).exit for text in ("w2 w1", "w1")] == [8, 8]
    of_queries = InputKeys(bridge, EmbeddingConfig("tiny.as.old"), Truncation(), "query")
    assert of_queries.key("w2 w1").exit == 9


def test_a_text_without_a_prompt_that_starts_like_one_is_no_query(write_encoder: Callable[..., Path]) -> None:
    folder = write_encoder(bridges=SIDED, prompts={"query": "w2 "})
    bridge = open_encoders(folder.parent)["tiny.as.old"]
    config = EmbeddingConfig("tiny.as.old")
    for name, exit in (("", 8), (None, 9)):
        choice = choose_prompt(bridge.manifest, name, config)
        (value,) = put_prompt(["w2 w1"], choice, bridge)
        assert InputKeys(bridge, config, Truncation(), choice.role).key(value).exit == exit


def test_documents_behind_the_prompt_of_queries_are_refused(write_encoder: Callable[..., Path]) -> None:
    """By a collection of a bridge that maps queries apart; Milvus puts one prompt before both sides."""
    bridge = SIDED.maps["old"].model_copy(update={"unstated_quality": {GRAPH_DIM: 0.8}})
    bridges = SIDED.model_copy(update={"maps": {"old": bridge}})
    models = write_encoder(bridges=bridges, prompts={"query": "w2 ", "sts": "w2 ", "topic": "w1 "}).parent
    embedder = Embedder(open_encoders(models), FakeEngine({"tiny": GRAPH_DIM}), ServiceSettings())
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=100)

    def add(encoder: str, prompt: str) -> None:
        config = EmbeddingConfig(encoder, prompt=prompt)
        options = EmbeddingOptions(provider="openai")
        add_embedding(schema, "text", encoder=config, dims=[4], service=address, options=options)

    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        for prompt in ("query", "sts"):
            with pytest.raises(PromptNotOffered, match=f"take documents .*: {prompt}"):
                add("tiny.as.old", prompt)
        add("tiny.as.old", "topic")
        add("tiny", "query")


def test_a_bridge_of_before_heads_of_queries_is_read(write_encoder: Callable[..., Path]) -> None:
    old = _bridge(8, (8, 4)).model_dump(mode="json")
    for key in ("query_exit", "unstated_quality"):
        del old[key]
    bridge = Bridge.model_validate(old)
    # Later ones had a digest of their maps.
    assert Bridge.model_validate(old | {"maps": "0123456789abcdef"}) == bridge
    assert "maps" not in bridge.model_dump()
    assert bridge.exits == (8,)
    bridges = Bridges(maps={"old": bridge}, unbridged_files={}, has_own_exits=True)
    loaded = open_encoders(write_encoder(bridges=bridges).parent)["tiny.as.old"]
    assert [loaded.graph_exit(role) for role in ("query", "document", None)] == [8, 8, 8]


def test_a_bridge_is_selected_by_a_model_name_too(models: Path, service: str) -> None:
    body = {"input": ["w1"], "model": "tiny.as.old", "dimensions": 4}
    answer = httpx.post(f"{service}/v1/embeddings", json=body).json()
    expected = normalise(_row(models, 5)[None, :4])[0]
    np.testing.assert_allclose(np.float32(answer["data"][0]["embedding"]), expected, atol=1e-6)


def test_the_fingerprint_is_the_other_encoder_s(service: str) -> None:
    own = fetch_info(service).encoders["tiny"].fingerprint
    address = f"{service}/embed?encoder=tiny&as=old&fingerprint="
    answer = httpx.post(f"{address}{OLD_FINGERPRINT}", json={"inputs": ["w1"]})
    assert answer.headers["x-nestvec-fingerprint"] == OLD_FINGERPRINT
    refused = httpx.post(f"{address}{own}", json={"inputs": ["w1"]})
    assert refused.status_code == 404
    assert "vectors must not mix" in refused.text


def test_info_lists_bridges(service: str) -> None:
    encoders = httpx.get(f"{service}/info").json()["encoders"]
    assert set(encoders) == {"tiny", "tiny.as.old", "tiny.as.long", "tiny.as.long.v2"}
    bridged = encoders["tiny.as.old"]
    assert (bridged["dims"], bridged["fingerprint"]) == ([8, 4], OLD_FINGERPRINT)
    assert bridged["bridge"]["mapped_from"] == "fedcba9876543210"
    assert bridged["bridge"]["quality"] == {"8": 0.9}
    assert encoders["tiny"]["bridge"] is None


@pytest.mark.parametrize(
    ("query", "message"),
    [("as=old", "encoder= does not say"), ("encoder=tiny&as=other", "no encoder of this name")],
)
def test_a_bridge_that_does_not_exist_is_refused(service: str, query: str, message: str) -> None:
    answer = httpx.post(f"{service}/embed?{query}", json={"inputs": ["w1"]})
    assert answer.status_code in (400, 404, 413, 422)
    assert message in answer.text


def test_the_tag_of_another_encoder_is_never_that_of_the_bridged_one(
    write_encoder: Callable[..., Path],
) -> None:
    """``tiny:2`` has a bridge into the space of ``old``; ``tiny`` has none into that of ``old:2``."""
    write_encoder()
    models = write_encoder("tiny:2", bridges=BRIDGES).parent
    engine = FakeEngine({"tiny": 16, "tiny:2": GRAPH_DIM})
    embedder = Embedder(open_encoders(models), engine, ServiceSettings())
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        refused = httpx.post(f"{address}/embed?encoder=tiny&as=old:2", json={"inputs": ["w1"]})
        assert refused.status_code == 404
        assert "tiny.as.old.v2" in refused.text
        answer = httpx.post(f"{address}/embed?encoder=tiny:2&as=old", json={"inputs": ["w1"]})
        assert len(answer.json()[0]) == 8


def test_an_alias_names_a_bridge_too(write_encoder: Callable[..., Path]) -> None:
    encoders = open_encoders(write_encoder("tiny:2", bridges=BRIDGES).parent)
    instance = EncoderInstance(encoders)
    catalog = EncoderCatalog([instance], {"best": "tiny:2", "best:1": "tiny:2"})
    assert resolve_encoder(catalog, "best.as.old") == "tiny.as.old:2"
    assert resolve_encoder(catalog, "best.as.long.v2:1") == "tiny.as.long.v2:2"
    with pytest.raises(EncoderNotFound, match=r"tiny\.as\.absent:2"):
        resolve_encoder(catalog, "best.as.absent")


def test_an_alias_may_look_like_a_bridge(write_encoder: Callable[..., Path]) -> None:
    """What a name means is what exists: the alias, and the bridges of its encoder."""
    encoders = open_encoders(write_encoder(bridges=BRIDGES).parent)
    catalog = EncoderCatalog([EncoderInstance(encoders)], {"al.as.enc": "tiny", "tiny.as.enc:2": "tiny"})
    assert resolve_encoder(catalog, "al.as.enc") == "tiny"
    assert resolve_encoder(catalog, bridged_name("al.as.enc", "old")) == "tiny.as.old"
    assert resolve_encoder(catalog, bridged_name("tiny.as.enc:2", "long:2")) == "tiny.as.long.v2"
    assert resolve_encoder(catalog, "tiny.as.old") == "tiny.as.old"
    with pytest.raises(EncoderNotFound, match=r"name: al\.as\.old"):
        resolve_encoder(catalog, "al.as.old")


def test_an_alias_is_refused_that_names_a_bridge(write_encoder: Callable[..., Path]) -> None:
    """``best.as.old`` is a bridge of ``best``, and would be another encoder by this alias."""
    instance = EncoderInstance(open_encoders(write_encoder(bridges=BRIDGES).parent))
    for name in ("best.as.old", "best.as.long.v2"):
        with pytest.raises(AliasInvalid, match="already names a bridge, by another alias: tiny"):
            EncoderCatalog([instance], {name: "tiny", "best": "tiny"})
    with pytest.raises(AliasInvalid, match="an encoder of the service already has the alias's name"):
        EncoderCatalog([instance], {"tiny.as.old": "tiny"})
    catalog = EncoderCatalog([instance], {"best.as.other": "tiny", "best": "tiny"})
    assert resolve_encoder(catalog, "best.as.other") == "tiny"


def test_images_have_no_bridge(write_encoder: Callable[..., Path]) -> None:
    """Only the text tower's graph has heads: an image's own vector would pass for one of another encoder."""
    models = write_encoder(towers={"text": TEXT, "image": IMAGE}, bridges=BRIDGES).parent
    encoders = open_encoders(models)
    assert encoders["tiny"].reads_images
    assert not encoders["tiny.as.old"].reads_images
    assert [encoders["tiny"].graph_dim(part) for part in ("", "image")] == [GRAPH_DIM, 16]


def test_engines_are_tried_on_bridges_too(write_encoder: Callable[..., Path]) -> None:
    folder = write_encoder(
        bridges=BRIDGES, towers={"text": TEXT.model_copy(update={"inputs": (*TEXT.inputs, EXIT_INPUT)})}
    )
    batches = probe_batches(folder, read_manifest(folder))[""]
    assert {batch.exit for batch in batches} == {4, 2, 5, 6, 7}


def test_an_encoder_s_own_fingerprint_does_not_change(write_encoder: Callable[..., Path]) -> None:
    """Its graph has another checksum and another input, and gives the same vectors."""
    graph = "1/model.onnx"
    plain = read_manifest(write_encoder("plain", files={graph: "a"}))
    bridges = BRIDGES.model_copy(update={"unbridged_files": {graph: "a"}, "has_own_exits": False})
    inputs = (*plain.main_tower.inputs, EXIT_INPUT)
    towers = {"text": plain.main_tower.model_copy(update={"inputs": inputs})}
    bridged = read_manifest(write_encoder("new", files={graph: "b"}, bridges=bridges, towers=towers))
    assert encoder_fingerprint(bridged) == encoder_fingerprint(plain)
    changed = read_manifest(write_encoder("other", files={graph: "b"}))
    assert encoder_fingerprint(changed) != encoder_fingerprint(plain)
