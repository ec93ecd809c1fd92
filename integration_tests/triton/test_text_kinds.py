"""Decoders, encoder halves, token-free encoders and pictures of text through a real Triton."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from nestvec.engines.factory import EngineOptions
from nestvec.service.server import bind, open_embedder, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.repository import encoder_names
from nestvec_schemas.samples.docstrings import sample_texts
from nestvec_schemas.vectors import Vectors, cosines

TEXTS = [*sample_texts(30), "añ语🎈", "x"]


def test_triton_gives_what_the_embedded_engine_gives(tiny_texts: Path, triton: Any, tmp_path: Path) -> None:
    models = Path(shutil.copytree(tiny_texts, tmp_path / "repository"))
    triton.start(models)
    through = ServiceSettings(engine=EngineOptions(name="triton", triton_url=triton.url))
    found: dict[str, list[Vectors]] = {name: [] for name in encoder_names(models)}
    assert set(found) == {"decoder", "nllb", "canine", "byt5", "pixel"}
    for settings in (through, ServiceSettings()):
        with serve_in_thread(open_embedder(models, (), settings), bind("127.0.0.1", 0)) as address:
            for name, vectors in found.items():
                answer = httpx.post(
                    f"{address}/embed?encoder={name}", json={"inputs": TEXTS}, timeout=120, trust_env=False
                )
                assert answer.status_code == 200, answer.text
                vectors.append(np.array(answer.json(), np.float32))
    for vectors in found.values():
        assert cosines(*vectors).min() > 0.99999
