from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from nestvec_exporters import ExportOptions, Listener, export
from nestvec_exporters.graph.fusion import DOMAIN


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
