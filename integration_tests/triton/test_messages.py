"""Messages in front of a real Triton: one model with a branch, fed with images of a size or with none."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_vision_language

from nestvec.engines.contract import Engine
from nestvec.engines.onnx import OnnxEngine
from nestvec.engines.triton import TritonEngine
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.settings import CacheLimits, ServiceSettings
from nestvec_exporters import ExportOptions, export
from nestvec_exporters.probes.images import probe_images
from nestvec_schemas.vectors import Vectors, cosines


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with ``qwen`` and ``llava``, tiny and random."""
    place = tmp_path_factory.mktemp("messages")
    for name, write in (
        ("qwen", tiny_vision_language.write_qwen),
        ("llava", tiny_vision_language.write_llava),
    ):
        export(ExportOptions(str(write(place / name)), place / "models", name, verify="quick"))
    return place / "models"


def messages() -> list[str]:
    found = ["a text", "a longer text that stands alone", '{"text": "a text"}']
    for number, one in enumerate(probe_images()[:12]):
        file = io.BytesIO()
        one.save(file, "PNG")
        address = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
        found.append(json.dumps({"image": address, "text": "what is it? " * (number % 3)}))
    return found


def embedded(models: Path, engine: Engine, encoder: str, batches: Sequence[Sequence[str]]) -> Vectors:
    async def main() -> Vectors:
        embedder = Embedder(open_encoders(models), engine, ServiceSettings(cache=CacheLimits(max_bytes=0)))
        embedder.start()
        try:
            found = await asyncio.gather(*(embedder.embed(encoder, one) for one in batches))
            return np.concatenate([one.vectors for one in found])
        finally:
            await embedder.close()

    return asyncio.run(main())


@pytest.mark.parametrize("encoder", ["qwen", "llava"])
def test_vectors_are_the_embedded_engines(encoder: str, models: Path, triton: Any) -> None:
    triton.start(models)
    assert triton.http.get(f"/v2/models/{encoder}/ready").status_code == 200
    config = triton.http.get(f"/v2/models/{encoder}/config").json()
    assert {one["name"]: one["dims"] for one in config["input"]}["pixels"] == [-1, -1, 3]
    folders = {name: models / name for name in ("qwen", "llava")}
    inputs = messages()
    expected = embedded(models, OnnxEngine(folders), encoder, [inputs])
    # All at once, each by itself, and texts alone.
    for batches in ([inputs], [[one] for one in inputs], [inputs[:3], inputs[3:]]):
        found = embedded(models, TritonEngine(folders, url=triton.url), encoder, batches)
        assert cosines(found, expected).min() > 0.99999
