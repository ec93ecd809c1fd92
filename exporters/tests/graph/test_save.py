from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from nestvec_exporters.graph.save import save_graph
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT


def run(path: Path) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_outputs()] == [OUTPUT]
    ids = np.arange(4, 25).reshape(3, 7)
    mask = np.ones_like(ids)
    found: np.ndarray = session.run(None, dict(zip(INPUTS, (ids, mask), strict=True)))[0]
    return found


def test_weights_above_the_limit_go_to_one_file_beside_the_graph(traced: Path, tmp_path: Path) -> None:
    alone, split = tmp_path / "alone", tmp_path / "split"
    for folder, limit in ((alone, 1 << 30), (split, 1000)):
        folder.mkdir()
        save_graph(onnx.load(traced), folder / "model.onnx", limit=limit)
    assert {path.name for path in alone.iterdir()} == {"model.onnx"}
    assert {path.name for path in split.iterdir()} == {"model.onnx", "model.onnx.data"}
    assert (split / "model.onnx").stat().st_size < (alone / "model.onnx").stat().st_size / 2
    np.testing.assert_array_equal(run(split / "model.onnx"), run(alone / "model.onnx"))
    assert run(alone / "model.onnx").shape == (3, 32)
