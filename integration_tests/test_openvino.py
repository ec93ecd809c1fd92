"""Every kind of encoder on OpenVINO, against ONNX Runtime on the same graph."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import tiny_image_models
import tiny_vision_language
from integration_tests.fixtures.services import Serve
from integration_tests.fixtures.side_checkpoints import WRITERS
from published import FAMILIES

from nestvec.engines.agreement import largest_difference, smallest_cosine
from nestvec.engines.auto import AutoEngine
from nestvec.engines.contract import Batch, ServingPrecision
from nestvec.engines.onnx import OnnxEngine
from nestvec.engines.openvino.engine import OpenVinoEngine
from nestvec.engines.openvino.opening import MIN_COSINE, OpenVinoOptions, has_bf16, openvino_core
from nestvec.service.engine_probe import probe_batches
from nestvec.service.preprocess.inputs import collate_ids
from nestvec_exporters import ExportOptions, Overrides, export
from nestvec_exporters.bridge.install import install_bridge, next_exit, next_query_exit
from nestvec_exporters.space_maps.mapping import BridgeMaps, linear
from nestvec_schemas.bridges.bridge import Bridge
from nestvec_schemas.errors import EngineError
from nestvec_schemas.fingerprint import encoder_fingerprint
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.vectors import Vectors

KINDS = {
    "models": ["minilm"],
    "exiting": ["minilm"],
    "routed": ["minilm"],
    "words": ["splade"],
    "scoring": ["crossing", "modular", "late", "m3"],
    "static": ["wordllama", "glove"],
    "tiny_texts": ["decoder", "nllb", "canine", "byt5", "pixel"],
    "seeing": ["clip", "film", "naflex", "qwen", "llava"],
    "precisions": ["minilm-fp16"],
    "bridged": ["minilm"],
}
"""Encoders by the fixture of their repository."""

SCORING = {
    "ms-marco cross-encoders": "crossing",
    "ettin-reranker (modules)": "modular",
    "GTE-ModernColBERT, LateOn": "late",
}
"""Names of the encoders that score, by the family of their checkpoint."""

DYNAMIC = "minilm-int8-dynamic"

needs_bf16 = pytest.mark.skipif(not has_bf16(openvino_core()), reason="this CPU does not compute in bf16")

ALIKE = {"modular", "glove", "nllb", "byt5", "pixel", "film", "naflex", "llava"}
"""Encoders whose graphs are much like another one's: compared by ``make nightly``."""

ENCODERS = [
    pytest.param(fixture, name, marks=[pytest.mark.nightly] if name in ALIKE else [])
    for fixture, names in KINDS.items()
    for name in names
]


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Encoders of images, of their sequences, and of messages with images."""
    place = tmp_path_factory.mktemp("seeing")
    clip = tiny_image_models.write(tiny_image_models.DUAL["clip"], place / "clip")
    naflex = tiny_image_models.write(tiny_image_models.NAFLEX, place / "naflex")
    checkpoints = {
        "clip": (clip, Overrides()),
        "film": (clip, Overrides(frames=3)),
        "naflex": (naflex, Overrides()),
        "qwen": (tiny_vision_language.write_qwen(place / "qwen"), Overrides()),
        "llava": (tiny_vision_language.write_llava(place / "llava"), Overrides()),
    }
    for name, (checkpoint, overrides) in checkpoints.items():
        export(ExportOptions(str(checkpoint), place / "models", name, overrides=overrides, verify="quick"))
    return place / "models"


@pytest.fixture(scope="module")
def scoring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rerankers, late interaction, and an encoder of three kinds of outputs."""
    place = tmp_path_factory.mktemp("scoring")
    checkpoints = {"m3": place / "m3" / "saved"}
    WRITERS["m3"](place / "m3")
    for family in FAMILIES:
        if family.name in SCORING:
            checkpoints[SCORING[family.name]] = place / SCORING[family.name]
            family.write(place / SCORING[family.name])
    for name, checkpoint in checkpoints.items():
        export(ExportOptions(str(checkpoint), place / "models", name, verify="quick"))
    return place / "models"


@pytest.fixture(scope="module")
def bridged(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``minilm`` with a bridge that maps queries apart from documents, and reads their tokens."""
    folder = Path(shutil.copytree(models / "minilm", tmp_path_factory.mktemp("bridged") / "minilm"))
    manifest, random = read_manifest(folder), np.random.default_rng(0)
    widths = (manifest.dim, manifest.dim + 96)
    documents, queries = (linear(random.normal(size=(width, 512)) / 20) for width in widths)
    tokens = random.normal(size=(30522, 96)).astype(np.float16)
    bridge = Bridge(
        fingerprint="old",
        mapped_from=encoder_fingerprint(manifest),
        exit=next_exit(manifest, "old"),
        query_exit=next_query_exit(manifest, "old"),
        dim=512,
        dims=(512,),
        method="linear",
        sample="none",
        texts=1,
        compared={},
    )
    install_bridge(folder, "old", bridge, BridgeMaps(documents, queries, tokens))
    return folder.parent


@pytest.fixture
def folder(request: pytest.FixtureRequest, fixture: str, name: str) -> Path:
    models: Path = request.getfixturevalue(fixture)
    return models / name


def outputs(
    engine: OnnxEngine | OpenVinoEngine | AutoEngine, name: str, batches: list[Batch]
) -> list[Vectors]:
    return [engine.run_now(name, batch) for batch in batches]


@pytest.mark.parametrize(("fixture", "name"), ENCODERS)
def test_openvino_gives_the_vectors_of_onnx_runtime(folder: Path, name: str) -> None:
    manifest = read_manifest(folder)
    batches = [batch for part in probe_batches(folder, manifest).values() for batch in part]
    assert {batch.part for batch in batches} == set(manifest.parts)
    onnx = OnnxEngine({name: folder}, device="cpu")
    expected = outputs(onnx, name, batches)
    exact = OpenVinoEngine({name: folder}, OpenVinoOptions(precision="fp32"))
    if manifest.precision == "fp32":
        assert largest_difference(outputs(exact, name, batches), expected) < 1e-4
    else:
        assert smallest_cosine(outputs(exact, name, batches), expected) > MIN_COSINE
    auto = AutoEngine(
        {name: folder}, OpenVinoOptions(probes=probe_batches), lambda: OnnxEngine({}, device="cpu")
    )
    info = auto.encoder_info(name)
    assert info.name == "openvino", info.reason
    packed = bool(manifest.outputs)
    cosine = smallest_cosine(outputs(auto, name, batches), expected, packed=packed)
    assert cosine >= MIN_COSINE - 1e-5, "in whichever precision it chose"
    assert info.precision == "bf16" or info.reason or not has_bf16(openvino_core())


@pytest.fixture(scope="module")
def mixed(models: Path, precisions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``minilm``, and DYNAMIC: the same in int8 with ranges that are computed for each batch."""
    folder = Path(shutil.copytree(models, tmp_path_factory.mktemp("mixed") / "models"))
    shutil.copytree(precisions / DYNAMIC, folder / DYNAMIC)
    return folder


def test_an_encoder_that_openvino_does_not_run_is_on_onnx_runtime_by_name(mixed: Path, serve: Serve) -> None:
    service = serve(mixed)
    answer = httpx.get(f"{service}/info", trust_env=False).json()
    engines = {name: encoder["engine"] for name, encoder in answer["encoders"].items()}
    assert engines["minilm"]["name"] == "openvino"
    assert engines["minilm"]["reason"] is None
    assert (engines[DYNAMIC]["name"], engines[DYNAMIC]["streams"]) == ("onnx", 1)
    assert "its int8 ranges are computed per batch" in engines[DYNAMIC]["reason"]
    metrics = httpx.get(f"{service}/metrics", trust_env=False).text
    assert f'encoder="{DYNAMIC}",engine="onnx"' in metrics
    assert 'encoder="minilm",engine="openvino"' in metrics
    for name in engines:
        response = httpx.post(
            f"{service}/embed?encoder={name}", json={"inputs": ["heat flow"]}, timeout=60, trust_env=False
        )
        assert response.status_code == 200, response.text


def test_openvino_alone_refuses_it(mixed: Path) -> None:
    with pytest.raises(EngineError, match=rf"OpenVINO cannot run the encoder {DYNAMIC}.*--engine onnx"):
        OpenVinoEngine({DYNAMIC: mixed / DYNAMIC})


def test_a_vector_in_fp32_does_not_depend_on_its_batch(models: Path) -> None:
    engine = OpenVinoEngine({"minilm": models / "minilm"}, OpenVinoOptions(precision="fp32"))
    rows = [np.arange(1000, 1000 + length) for length in (3, 9, 17, 40, 64)]
    together = engine.run_now("minilm", collate_ids(rows))
    alone = np.concatenate([engine.run_now("minilm", collate_ids([row])) for row in rows])
    assert np.abs(together - alone).max() < 1e-6


@pytest.fixture(scope="module")
def in_few_bits(minilm_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``minilm`` with weights of 8 bits."""
    models = tmp_path_factory.mktemp("bits") / "models"
    options = ExportOptions(
        str(minilm_checkpoint), models, "weights", precision="int8-weights", verify="quick"
    )
    export(options)
    return models / "weights"


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=needs_bf16)])
def test_a_vector_of_quantised_weights_does_not_depend_on_its_batch(
    in_few_bits: Path, precision: ServingPrecision
) -> None:
    engine = OpenVinoEngine({"weights": in_few_bits}, OpenVinoOptions(precision=precision))
    assert engine.encoder_info("weights").precision == precision
    rows = [np.arange(1000, 1000 + length) for length in (1, 3, 9, 16, 17, 40, 64, 90)]
    alone = np.concatenate([engine.run_now("weights", collate_ids([row])) for row in rows])
    for size in (2, 3, 8):
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        together = np.concatenate([engine.run_now("weights", collate_ids(part)) for part in parts])
        assert np.abs(together - alone).max() < 1e-6


@pytest.fixture(scope="module")
def in_int8(minilm_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``minilm`` in int8, weights and activations."""
    models = tmp_path_factory.mktemp("int8") / "models"
    export(ExportOptions(str(minilm_checkpoint), models, "minilm", precision="int8", verify="quick"))
    return models


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core runs one batch at a time")
@pytest.mark.parametrize(
    ("fixture", "precision"),
    [("models", "fp32"), ("in_int8", "auto"), pytest.param("models", "bf16", marks=needs_bf16)],
)
def test_a_vector_does_not_depend_on_what_runs_beside_its_batch(
    request: pytest.FixtureRequest, fixture: str, precision: ServingPrecision, tmp_path: Path
) -> None:
    folder: Path = request.getfixturevalue(fixture) / "minilm"
    options = OpenVinoOptions(threads=2, precision=precision, cache=tmp_path / "compiled")
    engine = OpenVinoEngine({"minilm": folder}, options)
    rows = [np.arange(1000, 1000 + length) for length in (1, 3, 9, 16, 17, 40, 64, 90) * 4]
    batches = [collate_ids(rows[start : start + 4]) for start in range(0, len(rows), 4)]
    alone = outputs(engine, "minilm", batches)
    beside = [replace(batch, alone=False) for batch in batches]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):  # the second time on graphs that were compiled in the first
            together = list(pool.map(lambda batch: engine.run_now("minilm", batch), beside))
            engine._compiler.submit(lambda: None).result(300)
    assert engine.streams("minilm") == 2, "they were compiled"
    assert engine._opened["minilm", 0]._graphs is not None
    if precision == "bf16":
        assert smallest_cosine(together, alone) > MIN_COSINE
    else:
        assert np.abs(np.concatenate(together) - np.concatenate(alone)).max() < 1e-6
