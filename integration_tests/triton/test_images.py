"""Images in front of a real Triton: two towers are two models, and the pixels are the embedded engine's."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tiny_image_models
import torch
from safetensors.torch import save_file

from nestvec.engines.contract import Batch, Engine
from nestvec.engines.onnx import OnnxEngine
from nestvec.engines.triton import TritonEngine
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import BatchLimits, CacheLimits, ServiceSettings
from nestvec_exporters import ExportOptions, Overrides, export
from nestvec_exporters.probes.images import probe_images
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.vectors import Vectors, cosines


class Recording:
    """An engine that keeps the pixels of every batch."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.parallel = engine.name, engine.parallel
        self.pixels: list[Array] = []

    async def run(self, encoder: str, batch: Batch) -> Vectors:
        if "pixels" in batch.arrays:
            self.pixels.extend(batch.arrays["pixels"])
        return await self._engine.run(encoder, batch)

    async def ready(self, encoder: str) -> bool:
        return await self._engine.ready(encoder)

    async def close(self) -> None:
        await self._engine.close()


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository, tiny and random: ``clip``, ``film`` of two frames, ``lrcn`` of at most four in order, and
    ``naflex``, whose images keep their shapes."""
    place = tmp_path_factory.mktemp("seeing")
    clip = tiny_image_models.write(tiny_image_models.DUAL["clip"], place / "clip")
    export(ExportOptions(str(clip), place / "models", "clip", verify="quick"))
    export(ExportOptions(str(clip), place / "models", "film", overrides=Overrides(frames=2), verify="quick"))
    vit = tiny_image_models.write(tiny_image_models.VISION["vit"], place / "vit")
    config = json.loads((vit / "config.json").read_text())
    told = {"type": "lstm", "hidden_size": 24, "bidirectional": True, "frames": 4}
    (vit / "config.json").write_text(json.dumps({**config, "frame_pooling": told}))
    network = torch.nn.LSTM(48, 24, bidirectional=True)
    save_file(dict(network.state_dict()), vit / "frame_pooling.safetensors")
    export(ExportOptions(str(vit), place / "models", "lrcn", verify="quick"))
    naflex = tiny_image_models.write(tiny_image_models.NAFLEX, place / "naflex")
    export(ExportOptions(str(naflex), place / "models", "naflex", verify="quick"))
    return place / "models"


def addresses() -> list[str]:
    found = []
    for one in probe_images():
        file = io.BytesIO()
        one.save(file, "PNG")
        found.append("data:image/png;base64," + base64.b64encode(file.getvalue()).decode())
    return found


def embedded(models: Path, engine: Recording, encoder: str, inputs: Sequence[str]) -> Vectors:
    async def main() -> Vectors:
        embedder = Embedder(open_encoders(models), engine, ServiceSettings())
        embedder.start()
        try:
            return (await embedder.embed(encoder, inputs)).vectors
        finally:
            await embedder.close()

    return asyncio.run(main())


@pytest.mark.parametrize("encoder", ["clip", "film"])
def test_pixels_are_the_same_and_vectors_near(encoder: str, seeing: Path, triton: Any) -> None:
    triton.start(seeing)
    for model in ("clip", "clip@image", "film", "film@image"):
        assert triton.http.get(f"/v2/models/{model}/ready").status_code == 200
    folders = {name: seeing / name for name in ("clip", "film")}
    inputs = ["two frogs", *addresses(), "a longer text about a picture"]
    here, there = Recording(OnnxEngine(folders)), Recording(TritonEngine(folders, url=triton.url))
    found = [embedded(seeing, engine, encoder, inputs) for engine in (here, there)]
    assert cosines(*found).min() > 0.99999
    np.testing.assert_allclose(*found, atol=1e-5)
    assert len(here.pixels) == len(probe_images())
    assert {one.tobytes() for one in here.pixels} == {one.tobytes() for one in there.pixels}
    assert here.pixels[0].shape == ((64, 64, 3) if encoder == "clip" else (2, 64, 64, 3))


@pytest.mark.parametrize("encoder", ["lrcn", "naflex"])
def test_frames_that_are_missing_and_shapes_are_told(encoder: str, seeing: Path, triton: Any) -> None:
    triton.start(seeing)
    folders = {encoder: seeing / encoder}
    drawn = addresses()
    films = [json.dumps(drawn[at : at + 1 + at % 4]) for at in range(8)]
    inputs = drawn if encoder == "naflex" else films
    here, there = Recording(OnnxEngine(folders)), Recording(TritonEngine(folders, url=triton.url))
    found = [embedded(seeing, engine, encoder, inputs) for engine in (here, there)]
    assert cosines(*found).min() > 0.99999
    np.testing.assert_allclose(*found, atol=1e-5)
    assert np.ptp(found[0], axis=0).max() > 0.01


def test_requests_that_wait_are_merged_by_triton(seeing: Path, triton: Any) -> None:
    """Many small requests at once: the backend puts their images below one another."""
    triton.start(seeing)
    folders = {name: seeing / name for name in ("clip", "film")}
    drawn = addresses()
    embedder = Embedder(
        open_encoders(seeing),
        TritonEngine(folders, url=triton.url),
        ServiceSettings(batches=BatchLimits(texts=1), cache=CacheLimits(max_bytes=0)),
    )

    async def ask(address: str) -> list[Vectors]:
        async with httpx.AsyncClient(base_url=address, timeout=60, trust_env=False) as client:
            answers = await asyncio.gather(
                *(client.post("/embed?encoder=clip", json={"inputs": [one]}) for one in drawn)
            )
        return [np.array(one.json()[0], np.float32) for one in answers]

    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        found = np.stack(asyncio.run(ask(address)))
    alone = embedded(seeing, Recording(OnnxEngine(folders)), "clip", drawn)
    assert cosines(found, alone).min() > 0.99999
