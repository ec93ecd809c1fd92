"""Experts through a real Triton, which has each as a model of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np

from nestvec.engines.onnx import OnnxEngine
from nestvec.engines.triton import TritonEngine
from nestvec.service.preprocess.inputs import collate, text_input
from nestvec_schemas.vectors import cosines

ROWS = [text_input(np.array([101, 2000 + n, 3000, 102], np.int64)) for n in range(9)]
ASKED = [("", 0), ("biomed", 0), ("legal", 0), ("legal", 3)]


def test_triton_serves_every_part(routed: Path, triton: Any) -> None:
    triton.start(routed)
    for model in ("minilm", "minilm@biomed", "minilm@legal"):
        assert triton.http.get(f"/v2/models/{model}/ready").status_code == 200

    async def ask() -> list[np.ndarray[Any, Any]]:
        engine = TritonEngine({"minilm": routed / "minilm"}, url=triton.url)
        assert await engine.ready("minilm")
        found = [await engine.run("minilm", collate(ROWS, exit, part)) for part, exit in ASKED]
        await engine.close()
        return found

    embedded = OnnxEngine({"minilm": routed / "minilm"})
    found = asyncio.run(ask())
    for (part, exit), vectors in zip(ASKED, found, strict=True):
        assert cosines(vectors, embedded.run_now("minilm", collate(ROWS, exit, part))).min() > 0.99999
    assert cosines(found[1], found[2]).max() < 0.99999
