"""timm's checkpoints against timm itself; and what is said where it cannot be imported."""

from __future__ import annotations

import json
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_image_models
import torch
from safetensors.torch import load_file, save_file

from nestvec_exporters import ExportOptions, Overrides, export
from nestvec_exporters.checkpoints.timm_config import import_timm
from nestvec_exporters.probes.images import probe_images
from nestvec_exporters.verify.compare import run_graph
from nestvec_exporters.vision.image_tower import image_rows
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.repository import GRAPH, read_manifest
from nestvec_schemas.vectors import cosines

NETS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet": ("resnet10t", {}),
    "vit": ("vit_tiny_patch16_224", {"depth": 2, "img_size": 64}),
    "vit-mean": ("vit_tiny_patch16_224", {"depth": 2, "img_size": 64, "global_pool": "avg"}),
    # Large kernels, as UniRepLKNet's (Ding et al. 2024), which timm has not.
    "convnext-31": ("convnext_atto", {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 48], "kernel_sizes": 31}),
    # Branches that are one convolution once it is trained (Ding et al. 2021).
    "repvgg": ("repvgg_a0", {}),
}


def write(folder: Path, name: str, **cfg: Any) -> Path:
    timm = pytest.importorskip("timm", exc_type=ImportError)
    architecture, args = NETS[name]
    torch.manual_seed(0)
    network = timm.create_model(architecture, pretrained=False, **args)
    tiny_image_models.spread(network, network)
    folder.mkdir()
    timm.models.save_for_hf(network, folder, model_args=args, safe_serialization=True)
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"] |= {"input_size": [3, 64, 64], "test_input_size": None, **cfg}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def own(folder: Path, images: Any) -> Array:
    """What timm gives, by its own loading and its own preparation."""
    timm = pytest.importorskip("timm", exc_type=ImportError)
    network = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    data = timm.data.resolve_data_config(model=network)
    prepare = timm.data.create_transform(**data, is_training=False)
    with torch.no_grad():
        return np.asarray(network(torch.stack([prepare(one) for one in images])).numpy())


def encode(folder: Path, images: Any) -> Array:
    tower = read_manifest(folder).towers["image"]
    assert tower.image_transform is not None
    rows = image_rows(tower.image_transform, tower.frames, images)
    return np.stack(run_graph(folder / GRAPH, rows))


@pytest.mark.parametrize("name", NETS)
def test_a_network_gives_what_timm_gives(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / name, name)
    manifest = export(ExportOptions(str(folder), tmp_path / "models", "tiny"))
    assert manifest.verification.cosine_min > 0.9999
    found, expected = encode(tmp_path / "models" / "tiny", probe_images()), own(folder, probe_images())
    assert manifest.dim == expected.shape[1]
    assert cosines(found, expected).min() > 0.9999
    np.testing.assert_allclose(found, expected, atol=1e-3 * float(np.abs(expected).max()))
    pairs = combinations(range(len(found)), 2)
    assert max(cosines(found[[a]], found[[b]])[0] for a, b in pairs) < 0.9999


@pytest.mark.parametrize("mode", ["center", "squash"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_its_own_preparation(mode: str, interpolation: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "it", "vit", crop_mode=mode, interpolation=interpolation, crop_pct=0.9)
    export(ExportOptions(str(folder), tmp_path / "models", "tiny"))
    found = encode(tmp_path / "models" / "tiny", probe_images())
    assert cosines(found, own(folder, probe_images())).min() > 0.99999


def test_what_it_cannot_load_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "it", "vit")
    options = ExportOptions(str(folder), tmp_path / "models", "tiny", overrides=Overrides(pooling="cls"))
    with pytest.raises(CheckpointUnsupported, match=r"pooled as its config\.json says: cls"):
        export(options)
    weights = load_file(folder / "model.safetensors")
    del weights["blocks.1.attn.qkv.weight"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointUnsupported, match=r"blocks\.1\.attn\.qkv\.weight"):
        export(ExportOptions(str(folder), tmp_path / "models", "tiny"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architecture": "vit_nowhere"}))
    with pytest.raises(CheckpointUnsupported, match=r"timm cannot load .*vit_nowhere"):
        export(ExportOptions(str(folder), tmp_path / "models", "tiny"))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import nowhere_at_all", r"cannot be imported \(No module.*pip install timm"),
        (
            "raise RuntimeError('operator torchvision::nms does not exist')",
            r"does not match the installed torch \(operator torchvision::nms.*Install the torchvision",
        ),
    ],
)
def test_without_a_timm_that_can_be_imported(
    code: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [one for one in sys.modules if one.partition(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(CheckpointUnsupported, match=message):
        import_timm("resnet18")
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    told = {"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 224, 224]}}
    (folder / "config.json").write_text(json.dumps(told))
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(CheckpointUnsupported, match=f"{message}|resnet18"):
        export(ExportOptions(str(folder), tmp_path / "models", "tiny"))
