"""Bridges through a real Triton: the same vectors as the embedded engine's, of graphs of every precision."""

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
from nestvec_exporters.bridge.install import install_bridge, next_exit, next_query_exit
from nestvec_exporters.bridge.token_table import sum_tokens
from nestvec_exporters.space_maps.mapping import BridgeMap, BridgeMaps, HiddenLayer, TokenTable, linear
from nestvec_schemas.bridges.bridge import Bridge
from nestvec_schemas.fingerprint import encoder_fingerprint
from nestvec_schemas.manifest import Precision
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.vectors import cosines

ROWS = [np.array([101, 2000 + n, 3000, 102][: n % 3 + 2], np.int64) for n in range(MAX_BATCH_SIZE + 3)]
DIM, TOKEN_DIM, OLD_DIM = 384, 96, 512
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8-dynamic")


def _mapping() -> BridgeMap:
    """With a residual, into a longer space than the encoder's own."""
    random = np.random.default_rng(0)

    def values(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.asarray(random.normal(size=shape) / np.sqrt(shape[0]), np.float32)

    return BridgeMap(
        values(DIM, OLD_DIM), values(OLD_DIM), HiddenLayer(values(DIM, 64), values(64), values(64, OLD_DIM))
    )


def _query_mapping() -> BridgeMap:
    """Of the encoder's vector and the sum of tokens."""
    return linear(np.random.default_rng(1).normal(size=(DIM + TOKEN_DIM, OLD_DIM)) / np.sqrt(DIM))


def _tokens() -> TokenTable:
    return np.random.default_rng(2).normal(size=(30522, TOKEN_DIM)).astype(np.float16)


@pytest.fixture(scope="module")
def bridged(models: Path, precisions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of MiniLM in each precision, all with the bridge ``old``."""
    folder = tmp_path_factory.mktemp("bridged") / "models"
    for precision in PRECISIONS:
        name = f"minilm-{precision}"
        if precision == "fp32":
            shutil.copytree(models / "minilm", folder / "minilm")
            name = "minilm"
        else:
            shutil.copytree(precisions / name, folder / name)
        manifest = read_manifest(folder / name)
        bridge = Bridge(
            fingerprint="old",
            mapped_from=encoder_fingerprint(manifest),
            exit=next_exit(manifest, "old"),
            query_exit=next_query_exit(manifest, "old"),
            dim=OLD_DIM,
            dims=(OLD_DIM,),
            method="learned",
            sample="none",
            texts=1,
            compared={},
        )
        install_bridge(folder / name, "old", bridge, BridgeMaps(_mapping(), _query_mapping(), _tokens()))
    return folder


def _exits(folder: Path) -> tuple[int, ...]:
    """Those of documents and of queries of the bridge."""
    bridges = read_manifest(folder).bridges
    assert bridges is not None
    return bridges.maps["old"].exits


def test_triton_gives_a_bridge_s_vectors_and_the_encoder_s_own(
    bridged: Path, triton: Any, tmp_path: Path
) -> None:
    repository = shutil.copytree(bridged, tmp_path / "repository")
    triton.start(repository)
    folders = {path.name: path for path in sorted(repository.iterdir())}
    assert len(folders) == len(PRECISIONS)
    engine = TritonEngine(folders, url=triton.url)

    async def vectors() -> dict[str, tuple[Any, Any, Any]]:
        results = {}
        for name, folder in folders.items():
            exits = (0, *_exits(folder))
            rows = await asyncio.gather(*(engine.run(name, collate_ids(ROWS, exit)) for exit in exits))
            results[name] = (rows[0], rows[1], rows[2])
        await engine.close()
        return results

    for name, (own, mapped, queries) in asyncio.run(vectors()).items():
        assert own.shape == mapped.shape == queries.shape == (len(ROWS), OLD_DIM)
        assert not own[:, DIM:].any(), name
        inputs = np.concatenate([own[:, :DIM], sum_tokens(_tokens(), ROWS)], axis=1)
        assert cosines(mapped, _mapping()(own[:, :DIM])).min() > 0.999, name
        assert cosines(queries, _query_mapping()(inputs)).min() > 0.999, name
        embedded = OnnxEngine({name: folders[name]})
        for served, number in zip((own, mapped, queries), (0, *_exits(folders[name])), strict=True):
            # In the batches that Triton has: with dynamic ranges, a row depends on the others of its batch.
            batches = (ROWS[:MAX_BATCH_SIZE], ROWS[MAX_BATCH_SIZE:])
            expected = np.concatenate([embedded.run_now(name, collate_ids(rows, number)) for rows in batches])
            assert cosines(served, expected).min() > (0.9999 if name == "minilm" else 0.98), name
