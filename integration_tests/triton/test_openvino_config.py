"""The configuration for Triton's openvino backend, read by a real Triton.

The Triton that packages carry has no such backend: another one takes its name, and runs the same
``model.onnx``. So the configuration, the warm-up and the service's requests are checked, without OpenVINO.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from integration_tests.triton.conftest import Triton

from nestvec.engines.onnx import OnnxEngine
from nestvec.engines.triton import TritonEngine
from nestvec.service.preprocess.inputs import collate_ids
from nestvec_exporters.graph.tensors import OUTPUT, TensorSpec, text_specs
from nestvec_exporters.graph.triton import TritonServing, config_pbtxt
from nestvec_schemas.repository import CONFIG, read_manifest
from nestvec_schemas.vectors import cosines

NAME = "minilm"


@pytest.fixture
def openvino_backends(
    triton_tool: ModuleType, triton_venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Have Triton find the Python-based backend of these tests under the name openvino alone."""
    backends = tmp_path / "backends"
    backends.mkdir()
    for name, target in (("python", "python"), ("openvino", "onnxruntime")):
        (backends / name).symlink_to((triton_venv / "backends" / target).resolve())
    command = triton_tool.command

    def with_backends(*arguments: object) -> list[str]:
        line = command(*arguments)
        line[line.index("--backend-directory") + 1] = str(backends)
        return line

    monkeypatch.setattr(triton_tool, "command", with_backends)


@pytest.mark.usefixtures("openvino_backends")
def test_batches_of_any_size_are_answered(triton: Triton, repository: Path) -> None:
    manifest = read_manifest(repository / NAME)
    text = config_pbtxt(
        NAME,
        text_specs(),
        TensorSpec(OUTPUT, "float32", (manifest.dim,)),
        max_tokens=256,
        serving=TritonServing(backend="openvino"),
    )
    (repository / NAME / CONFIG).write_text(text, "utf-8")
    triton.start(repository)
    config = triton.http.get(f"/v2/models/{NAME}/config").json()
    assert (config["backend"], config["max_batch_size"]) == ("openvino", 0)

    batches = [
        collate_ids([np.arange(1000, 1000 + length) for length in lengths]) for lengths in ((5,), (3, 9, 4))
    ]
    embedded = OnnxEngine({NAME: repository / NAME}, device="cpu")
    expected = [embedded.run_now(NAME, batch) for batch in batches]

    async def run() -> list[np.ndarray]:
        engine = TritonEngine({NAME: repository / NAME}, url=triton.url)
        vectors = [await engine.run(NAME, batch) for batch in batches]
        await engine.close()
        return vectors

    for vectors, own in zip(asyncio.run(run()), expected, strict=True):
        assert cosines(vectors, own).min() > 0.99999
