"""The real SPLADE-tiny behind a real Triton: the same weights as embedded."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx

from nestvec.engines.factory import EngineOptions
from nestvec.service.server import bind, open_embedder, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.samples.docstrings import sample_texts


def asked(models: Path, settings: ServiceSettings) -> list[dict[int, float]]:
    with serve_in_thread(open_embedder(models, (), settings), bind("127.0.0.1", 0)) as address:
        body = {"inputs": list(sample_texts(40))}
        answer = httpx.post(f"{address}/embed_sparse", json=body, timeout=120, trust_env=False)
    assert answer.status_code == 200, answer.text
    return [{one["index"]: one["value"] for one in row} for row in answer.json()]


def test_triton_gives_the_same_weights(words: Path, tmp_path: Path, triton: Any) -> None:
    models = Path(shutil.copytree(words, tmp_path / "words"))
    triton.start(models)
    engine = EngineOptions(name="triton", triton_url=triton.url)
    served, embedded = asked(models, ServiceSettings(engine=engine)), asked(models, ServiceSettings())
    for left, right in zip(served, embedded, strict=True):
        every = left.keys() | right.keys()
        assert max(abs(left.get(one, 0.0) - right.get(one, 0.0)) for one in every) < 1e-3
