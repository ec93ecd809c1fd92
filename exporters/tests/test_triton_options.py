from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nestvec_exporters import ExportOptions
from nestvec_schemas.errors import EncoderError


def options(**values: Any) -> ExportOptions:
    return ExportOptions("none/such", Path("models"), "tiny", **values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"backend": "pytorch"}, "unknown backend: pytorch. Choose one of onnxruntime, openvino"),
        ({"backend": "openvino", "gpus": (0,)}, "openvino backend runs on CPUs: --gpus"),
        ({"backend": "openvino", "accelerate": True}, "openvino backend runs on CPUs: TensorRT"),
        ({"instances": 0}, "no number of instances.*Choose 1 to 16"),
        ({"instances": 17}, "no number of instances.*Choose 1 to 16"),
        ({"format": "plan"}, "unknown format: plan"),
        ({"fuse": True, "accelerate": True}, "TensorRT cannot read the fused operators"),
        ({"fuse": True, "format": "tensorrt"}, "TensorRT cannot read the fused operators"),
        ({"fuse": True, "precision": "int8-dynamic"}, "fused attention is not quantised"),
    ],
)
def test_what_does_not_go_together(values: dict[str, Any], says: str) -> None:
    with pytest.raises(EncoderError, match=says):
        options(**values)


def test_the_command_of_the_same_export() -> None:
    words = options(backend="openvino", instances=2, fuse=True).cli_args()
    line = " ".join(words)
    assert "--format onnx --triton-backend openvino --triton-instances 2" in line
    assert "--fuse" in words
    assert not {"--triton-backend", "--triton-instances", "--fuse", "--gpus"} & set(options().cli_args())
