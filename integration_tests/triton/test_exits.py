"""Exits through a real Triton: the same vectors as the embedded engine's, at every depth."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec.engines.onnx import OnnxEngine
from nestvec.engines.triton import MAX_BATCH_SIZE, TritonEngine
from nestvec.service.preprocess.inputs import collate_ids
from nestvec_schemas.vectors import cosines

ROWS = [np.array([101, 2000 + n, 3000, 102][: n % 3 + 2], np.int64) for n in range(MAX_BATCH_SIZE + 3)]


@pytest.fixture
def running(exiting: Path, triton: Any, tmp_path: Path) -> TritonEngine:
    """An engine in front of a Triton over the encoder with exits."""
    models = shutil.copytree(exiting, tmp_path / "repository")
    triton.start(models)
    return TritonEngine({"minilm": models / "minilm"}, url=triton.url)


def test_triton_stops_where_the_embedded_engine_does(exiting: Path, running: TritonEngine) -> None:
    async def ask() -> list[np.ndarray[Any, Any]]:
        found = [await running.run("minilm", collate_ids(ROWS, exit)) for exit in (0, 3, 6)]
        # Triton may put calls of several depths into one batch.
        found += await asyncio.gather(
            *(running.run("minilm", collate_ids(ROWS[:8], exit)) for exit in (3, 6, 3))
        )
        await running.close()
        return found

    deepest, third, sixth, *mixed = asyncio.run(ask())
    embedded = OnnxEngine({"minilm": exiting / "minilm"})
    for exit, vectors in ((6, deepest), (3, third), (6, sixth)):
        assert cosines(vectors, embedded.run_now("minilm", collate_ids(ROWS, exit))).min() > 0.99999
    for exit, vectors in zip((3, 6, 3), mixed, strict=True):
        assert cosines(vectors, embedded.run_now("minilm", collate_ids(ROWS[:8], exit))).min() > 0.9999
    assert cosines(deepest, third).max() < 0.999
