"""Bulk vectors are those that a service makes of the same texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
