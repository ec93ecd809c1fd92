"""The real SPLADE-tiny behind a real Triton: the same weights as embedded."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx

from nestvec.engines.opening import EngineOptions
from nestvec.service.server import bind, open_embedder, serving
from nestvec.service.settings import Settings
from nestvec_schemas.samples.docstrings import sample_texts


def asked(models: Path, settings: Settings) -> list[dict[int, float]]:
    with serving(open_embedder(models, (), settings), bind("127.0.0.1", 0)) as address:
        body = {"inputs": list(sample_texts(40))}
        answer = httpx.post(f"{address}/embed_sparse", json=body, timeout=120, trust_env=False)
    assert answer.status_code == 200, answer.text
    return [{one["index"]: one["value"] for one in row} for row in answer.json()]


def test_triton_gives_the_same_weights(words: Path, tmp_path: Path, triton: Any) -> None:
    models = Path(shutil.copytree(words, tmp_path / "words"))
    triton.start(models)
    engine = EngineOptions(name="triton", triton_url=triton.url)
    served, embedded = asked(models, Settings(engine=engine)), asked(models, Settings())
    for left, right in zip(served, embedded, strict=True):
        every = left.keys() | right.keys()
        assert max(abs(left.get(one, 0.0) - right.get(one, 0.0)) for one in every) < 1e-3
