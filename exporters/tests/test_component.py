from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest

from nestvec_exporters import ExportOptions, Listener, export
from nestvec_exporters.component import _in_precision
from nestvec_exporters.graph.fusion import DOMAIN
from nestvec_schemas.errors import EncoderError
from nestvec_schemas.samples.sample import Sample


def operators(folder: Path) -> Counter[str]:
    nodes = onnx.load(folder / "1" / "model.onnx").graph.node
    return Counter(node.op_type for node in nodes if node.domain == DOMAIN)


def export_fused(checkpoint: Path, models: Path, precision: str) -> tuple[float, list[str]]:
    """Export with ``fuse``: the worst cosine to the checkpoint's library, and the stages."""
    stages: list[str] = []
    options = ExportOptions(str(checkpoint), models, "tiny", precision=precision, fuse=True)  # type: ignore[arg-type]
    manifest = export(options, Listener(stages.append))
    return manifest.verification.cosine_min, stages


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.999999), ("fp16", 0.999)])
def test_a_fused_encoder_is_the_checkpoint(precision: str, least: float, bert: Path, tmp_path: Path) -> None:
    cosine, stages = export_fused(bert, tmp_path, precision)
    assert cosine >= least
    assert operators(tmp_path / "tiny") == {
        "MultiHeadAttention": 2,
        "SkipLayerNormalization": 4,
        "BiasGelu": 2,
        "EmbedLayerNormalization": 1,
    }
    (counts,) = (stage for stage in stages if stage.startswith("fused BertModel: "))
    assert "2 MultiHeadAttention, 4 SkipLayerNormalization" in counts


def test_an_architecture_that_is_not_fused_is_named(
    write_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    checkpoint = write_checkpoint("MPNet")
    cosine, stages = export_fused(checkpoint, tmp_path / "models", "fp32")
    assert cosine >= 0.999999
    assert not operators(tmp_path / "models" / "tiny")
    assert "not fused: ONNX Runtime's optimiser does not recognise the attention of MPNetModel" in stages


def test_fused_layers_have_exits(deep: Path, texts: tuple[str, ...], tmp_path: Path) -> None:
    for fuse in (False, True):
        options = ExportOptions(
            str(deep),
            tmp_path / str(fuse),
            "tiny",
            exits=(2,),
            sample=Sample("texts", texts),
            fuse=fuse,
        )
        export(options)
    batch = {
        "input_ids": np.array([[2, 9, 7, 3], [2, 11, 3, 0]]),
        "attention_mask": np.array([[1, 1, 1, 1], [1, 1, 1, 0]]),
    }
    for layer in (2, 4):
        plain, fused = (
            onnxruntime.InferenceSession(
                str(tmp_path / name / "tiny" / "1" / "model.onnx"), providers=["CPUExecutionProvider"]
            ).run(None, {**batch, "exit": np.full((2, 1), layer)})[0]
            for name in ("False", "True")
        )
        np.testing.assert_allclose(fused, plain, atol=1e-4)


def test_a_ready_graph_is_said_to_stay_as_it_is(bert: Path, tmp_path: Path) -> None:
    tower = SimpleNamespace(in_precision=True)
    options = ExportOptions(str(bert), tmp_path, "tiny", fuse=True)
    stages: list[str] = []
    graph = tmp_path / "graph.onnx"
    assert _in_precision(tower, options, graph, stages.append) == graph  # type: ignore[arg-type]
    assert stages == ["not fused: the graph is taken as it is"]


def test_a_calibration_that_measures_nothing_is_refused_or_said(bert: Path, tmp_path: Path) -> None:
    sample = Sample("log", ("heat",))
    for precision in ("fp32", "fp16", "int8-dynamic"):
        with pytest.raises(EncoderError, match="nothing is calibrated in this precision"):
            ExportOptions(str(bert), tmp_path, "tiny", precision=precision, calibration=sample)
    tower = SimpleNamespace(in_precision=True)
    options = ExportOptions(str(bert), tmp_path, "tiny", precision="int8", calibration=sample)
    stages: list[str] = []
    _in_precision(tower, options, tmp_path / "graph.onnx", stages.append)  # type: ignore[arg-type]
    assert stages == ["not calibrated: the graph is taken as it is"]


def test_how_each_part_was_quantised_is_in_the_manifest(bert: Path, tmp_path: Path) -> None:
    options = ExportOptions(
        str(bert),
        tmp_path / "models",
        "tiny",
        precision="int8-weights",
        experts={"other": str(bert)},
        verify="quick",
    )
    manifest = export(options)
    assert manifest.quantisation is not None
    assert list(manifest.part_quantisations) == ["other"]
    assert manifest.part_quantisations["other"].cosine_mean == manifest.quantisation.cosine_mean
