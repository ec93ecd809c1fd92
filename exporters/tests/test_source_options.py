from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nestvec_exporters import ExportOptions
from nestvec_schemas.errors import EncoderError


def options(**fields: Any) -> ExportOptions:
    return ExportOptions("checkpoint", Path("models"), "encoder", **fields)


@pytest.mark.parametrize(
    ("fields", "takes_graph", "args"),
    [
        ({}, False, []),
        ({"read_from": "weights"}, False, ["--from", "weights"]),
        ({"read_from": "onnx"}, True, ["--from", "onnx"]),
        ({"onnx_file": "onnx/model_O2.onnx"}, True, ["--onnx-file", "onnx/model_O2.onnx"]),
        ({"onnx_output": "pooled"}, True, ["--onnx-output", "pooled"]),
    ],
)
def test_what_is_read(fields: dict[str, str], takes_graph: bool, args: list[str]) -> None:
    chosen = options(**fields)
    assert (chosen.takes_graph, chosen.source_args()) == (takes_graph, args)
    assert set(args) <= set(chosen.cli_args())


def test_what_contradicts_itself() -> None:
    with pytest.raises(EncoderError, match=r"either a checkpoint's weights or a graph.*: onnx/model\.onnx"):
        options(read_from="weights", onnx_file="onnx/model.onnx")
    with pytest.raises(EncoderError, match="unknown form of a checkpoint: pickle"):
        options(read_from="pickle")
