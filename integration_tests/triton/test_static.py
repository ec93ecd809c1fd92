"""Static encoders through a real Triton: the same vectors as the embedded engine's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np

from nestvec.engines.onnx import OnnxEngine
from nestvec.engines.triton import TritonEngine
from nestvec.service.preprocess.inputs import collate_ids


def test_triton_gives_the_same(static: Path, triton: Any) -> None:
    triton.start(static)
    names = ("wordllama", "wordllama-int8", "glove")
    rows = [np.arange(1, size, dtype=np.int64) for size in (3, 2, 40)] + [np.array([], np.int64)]

    async def ask() -> list[np.ndarray[Any, Any]]:
        engine = TritonEngine({name: static / name for name in names}, url=triton.url)
        found = [await engine.run(name, collate_ids(some)) for name in names for some in (rows, rows[3:])]
        await engine.close()
        return found

    embedded = OnnxEngine({name: static / name for name in names})
    expected = [embedded.run_now(name, collate_ids(some)) for name in names for some in (rows, rows[3:])]
    for one, other in zip(asyncio.run(ask()), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
