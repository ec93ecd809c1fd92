from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_exporters.vision.efficientnet_lite import (
    SIZES,
    EfficientNetLiteConfig,
    EfficientNetLiteForImageClassification,
    convert,
)
from nestvec_exporters.vision.image_tower import read_preprocessing
from nestvec_schemas.errors import CheckpointUnsupported


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Random weights of EfficientNet-Lite0 with 5 classes by the names of efficientnet_lite_pytorch."""
    torch.manual_seed(0)
    model = EfficientNetLiteForImageClassification(EfficientNetLiteConfig(num_labels=5))
    return {_theirs(name): value for name, value in model.state_dict().items()}


def _theirs(name: str) -> str:
    name = name.removeprefix("efficientnet_lite.")
    if name.startswith("classifier"):
        return name.replace("classifier", "_fc")
    part, kind, rest = name.rsplit(".", 2) if ".norm." not in name else (*name.split(".norm."), "")
    if rest == "":
        part, kind, rest = part, "norm", kind
    whole = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    if part in whole:
        return f"{whole[part][kind == 'norm']}.{rest}"
    _, number, role = part.split(".")
    norm = ("expand", "depthwise", "project").index(role)
    return f"_blocks.{number}.{f'_bn{norm}' if kind == 'norm' else f'_{role}_conv'}.{rest}"


def test_weights_are_converted_and_exported(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    folder = tmp_path / "lite0"
    with quiet():
        convert(weights, folder, ["a", "b", "c", "d", "e"], "efficientnet-lite0")
        model = transformers.AutoModelForImageClassification.from_pretrained(folder)
    assert model.config.id2label == {0: "a", 1: "b", 2: "c", 3: "d", 4: "e"}
    assert torch.equal(model.classifier.weight, weights["_fc.weight"])
    how = read_preprocessing(folder)
    levels = np.array([0, 127, 255])
    assert (levels * how.scale - how.mean[0]) / how.std[0] == pytest.approx((levels - 127) / 128)
    manifest = export(ExportOptions(str(folder), tmp_path / "models", "lite0"))
    assert (manifest.dim, list(manifest.towers)) == (1280, ["image"])


def test_weights_of_another_size(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    with pytest.raises(CheckpointUnsupported, match="not the weights of efficientnet-lite4 with 2 classes"):
        convert(weights, tmp_path / "lite4", ["a", "b"], "efficientnet-lite4")
    assert not (tmp_path / "lite4").exists()


@pytest.mark.parametrize("name", SIZES)
def test_every_size_gives_a_map_of_features(name: str) -> None:
    width, depth, edge = SIZES[name]
    config = EfficientNetLiteConfig(image_size=edge, width=width, depth=depth)
    with torch.no_grad():
        model = transformers.AutoModel.from_config(config).eval()
        found = model(torch.zeros((1, 3, edge, edge)))
    assert found.last_hidden_state.shape == (1, 1280, -(-edge // 32), -(-edge // 32))
    assert found.pooler_output.shape == (1, 1280, 1, 1)
