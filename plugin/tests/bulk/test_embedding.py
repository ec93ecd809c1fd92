"""Bulk vectors are those that a service makes of the same texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec.bulk import embedding
from nestvec.bulk.embedding import EngineEmbedding, ServiceEmbedding, VectorOutput
from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.bridges.bridge import Bridge, Bridges
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import NestvecError, RowRejected, ServiceRefused

DIM = 16
SIDED = Bridge(
    fingerprint="0123456789abcdef",
    mapped_from="fedcba9876543210",
    exit=8,
    query_exit=9,
    dim=DIM,
    dims=(DIM,),
    method="orthogonal",
    sample="papers",
    texts=300,
    compared={"orthogonal": 0.9},
)


@pytest.mark.parametrize("has_role", [False, True])
def test_each_text_has_the_map_of_a_bridge_that_the_service_chooses(
    write_encoder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, has_role: bool
) -> None:
    """Also a document that starts with the prompt of queries."""
    bridges = Bridges(maps={"old": SIDED}, unbridged_files={}, has_own_exits=True)
    models = write_encoder(bridges=bridges, prompts={"query": "w2 "}).parent
    engine = FakeEngine({"tiny": DIM})
    monkeypatch.setattr(embedding, "open_engine", lambda *arguments: engine)
    output = VectorOutput("v", EmbeddingConfig("tiny.as.old", DIM), has_role)
    texts = ["w1", "w2 w1", "w3", "w1", "w2 w1"]
    in_process = EngineEmbedding(models, ("tiny.as.old",)).embed(texts, [output]).columns["v"]
    assert set(engine.exits) == ({8} if has_role else {8, 9})
    embedder = Embedder(open_encoders(models), FakeEngine({"tiny": DIM}), ServiceSettings())
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        by_service = ServiceEmbedding(address).embed(texts, [output]).columns["v"]
    np.testing.assert_allclose(in_process, by_service, atol=1e-6)


class _ImageService(ServiceEmbedding):
    """Refuses requests with a text that is ``broken``, as a service does."""

    def _chunk(self, texts: Sequence[str], outputs: Sequence[VectorOutput]) -> dict[str, Any]:
        if "broken" in texts or "refused" in texts:
            raise ServiceRefused("an image cannot be read", next_step="Repair it.")
        sparse = [{len(text): 1.0} for text in texts]
        return {"dense": np.array([[len(text), 1] for text in texts], np.float32), "sparse": sparse}

    def unreadable(self, texts: Sequence[str], output: VectorOutput) -> Mapping[int, NestvecError]:
        broken = RowRejected("the image is broken", next_step="Repair it.")
        return {at: broken for at, text in enumerate(texts) if text == "broken"}


@pytest.mark.parametrize(
    "texts", [["a", "broken", "ccc", "broken", "broken"], ["broken"], ["a"], ["a", "bb", "c"]]
)
def test_images_that_a_service_cannot_read_fail_alone(
    texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "REQUEST_TEXTS", 2)
    outputs = [
        VectorOutput("dense", EmbeddingConfig("tiny", 2)),
        VectorOutput("sparse", EmbeddingConfig("tiny", form="sparse")),
    ]
    embedded = _ImageService("http://127.0.0.1:1").embed(texts, outputs)
    assert set(embedded.failed) == {at for at, text in enumerate(texts) if text == "broken"}
    expected = [[0, 0] if text == "broken" else [len(text), 1] for text in texts]
    np.testing.assert_array_equal(embedded.columns["dense"], expected)
    assert embedded.columns["sparse"] == [{} if text == "broken" else {len(text): 1.0} for text in texts]


def test_what_a_service_refuses_otherwise_is_an_error() -> None:
    with pytest.raises(ServiceRefused):
        output = VectorOutput("dense", EmbeddingConfig("tiny", 2))
        _ImageService("http://127.0.0.1:1").embed(["refused"], [output])
