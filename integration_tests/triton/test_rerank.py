"""Rerankers and token vectors through a real Triton: the embedded engine's own numbers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from nestvec.engines.factory import EngineOptions
from nestvec.service.server import bind, open_embedder, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_exporters import ExportOptions, Overrides, export
from nestvec_schemas.samples.docstrings import sample_texts

TEXTS = [text[:300] for text in sample_texts(24)]
NAMES = ("reranker", "colbert")


@pytest.fixture
def scoring(ranking: Path, vectrix: Path, tmp_path: Path) -> Path:
    """The ``reranker``, and ``colbert`` with its marker tokens."""
    folder = tmp_path / "models"
    shutil.copytree(ranking / "reranker", folder / "reranker")
    own = ("vectrix_config.json",)  # the wheel's own file, which repeats what the graph is
    marked = Overrides(pooling="tokens", query_prompt="[unused0]", document_prompt="[unused1]")
    export(
        ExportOptions(
            str(vectrix / "colbert"), folder, "colbert", overrides=marked, ignore=own, verify="quick"
        )
    )
    return folder


def test_scores_are_the_embedded_engines(scoring: Path, triton: Any) -> None:
    triton.start(scoring)
    found = []
    for engine in (EngineOptions(name="triton", triton_url=triton.url), EngineOptions()):
        with serve_in_thread(
            open_embedder(scoring, NAMES, ServiceSettings(engine=engine)), bind("127.0.0.1", 0)
        ) as address:
            client = httpx.Client(base_url=address, timeout=120, trust_env=False)
            scores = []
            for name in NAMES:
                body = {"query": "what reads a file", "texts": TEXTS, "raw_scores": True}
                answer = client.post(f"/rerank?encoder={name}", json=body)
                assert answer.status_code == 200, answer.text
                scores += [one["score"] for one in sorted(answer.json(), key=lambda one: one["index"])]
            found.append(scores)
    assert found[0] == pytest.approx(found[1], abs=1e-3)
