"""A PIXEL of random weights, against transformers' vision transformer on the same pixels."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from verify_level import VERIFY

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.architectures.pixel import rendered_rows
from nestvec_exporters.checkpoints.kinds import identify
from nestvec_exporters.verify.compare import run_graph
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.preprocessing.text_rendering import Rendering, render_text
from nestvec_schemas.repository import FONT, GRAPH
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.vectors import Vectors, cosines

TEXTS = ["rows from a file", "", "x", "heat flow in shock waves", "Zebra crossing " * 40]
PATCHES = 20
CONFIG = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "patch_size": 16,
    "layer_norm_eps": 1e-12,
}


def vision(patches: int) -> Any:
    """transformers' model for images of one line of so many patches."""
    config = transformers.ViTConfig(**CONFIG, image_size=[16, 16 * patches], initializer_range=0.3)
    return transformers.ViTModel(config, add_pooling_layer=False).eval()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    folder = tmp_path / "pixel"
    vision(PATCHES).save_pretrained(folder)
    own = load_file(folder / "model.safetensors")
    named = {f"vit.{name}": one for name, one in own.items()} | {"decoder.mask_token": torch.ones(1, 1, 8)}
    save_file(named, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({**CONFIG, "model_type": "pixel"}))
    return folder


def own_vectors(checkpoint: Path, how: Rendering, font: Path | None = None) -> Vectors:
    weights = load_file(checkpoint / "model.safetensors")
    weights = {name.removeprefix("vit."): one for name, one in weights.items() if name.startswith("vit.")}
    found = []
    for text in TEXTS:
        pixels, patches = render_text(text, how, font)
        cut = {**weights, "embeddings.position_embeddings": weights["embeddings.position_embeddings"]}
        cut["embeddings.position_embeddings"] = cut["embeddings.position_embeddings"][:, : patches + 1]
        model, lost = type(vision(patches)).from_pretrained(
            None, config=vision(patches).config, state_dict=cut, output_loading_info=True,
            add_pooling_layer=False,
        )  # fmt: skip
        assert not lost["missing_keys"]
        given = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            found.append(model.eval()(given).last_hidden_state[0, 1:].mean(dim=0).numpy())
    return np.stack(found)


def written(checkpoint: Path, models: Path, **options: Any) -> tuple[Manifest, Path]:
    return export(ExportOptions(str(checkpoint), models, "tiny", **options)), models / "tiny"


def vectors(folder: Path, how: Rendering, layer: int | None = None) -> Vectors:
    return np.stack(run_graph(folder / GRAPH, rendered_rows(how, folder, TEXTS, PATCHES), layer))


def test_a_pixel_gives_its_own_vectors(checkpoint: Path, tmp_path: Path) -> None:
    assert identify(checkpoint).name == "pixel"
    manifest, folder = written(checkpoint, tmp_path / "models")
    tower = manifest.towers["text"]
    assert tower.inputs == ("patches", "attention_mask")
    assert tower.rendering == Rendering(max_patches=PATCHES)
    assert (tower.max_tokens, manifest.layers, manifest.dim) == (PATCHES, (2,), 32)
    assert "patches" in (folder / "config.pbtxt").read_text()
    found, expected = vectors(folder, tower.rendering), own_vectors(checkpoint, tower.rendering)
    assert cosines(found, expected).min() > 0.9999
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


def test_the_font_travels_with_the_encoder(checkpoint: Path, tmp_path: Path) -> None:
    import matplotlib

    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    told = {"font_file": "own.ttf", "font_size": 7, "dpi": 144, "background_color": "black"}
    (checkpoint / "text_renderer_config.json").write_text(json.dumps({**told, "font_color": "#ff8000"}))
    with pytest.raises(CheckpointUnsupported, match=r"font .* is not beside it: own\.ttf"):
        written(checkpoint, tmp_path / "models")
    (checkpoint / "own.ttf").write_bytes(font.read_bytes())
    manifest, folder = written(checkpoint, tmp_path / "models", max_tokens=12)
    how = manifest.towers["text"].rendering
    assert how == Rendering(max_patches=12, font_size=14, background=(0, 0, 0), foreground=(255, 128, 0))
    assert FONT in manifest.files
    found, expected = vectors(folder, how), own_vectors(checkpoint, how, font)
    assert cosines(found, expected).min() > 0.9999


@pytest.mark.parametrize("precision", ["fp16", "int8-dynamic"])
def test_exits_and_other_precisions(checkpoint: Path, precision: str, tmp_path: Path) -> None:
    letters = string.ascii_lowercase
    sample = Sample("letters", tuple(f"{one} {other}" for one in letters for other in letters))
    manifest, folder = written(
        checkpoint, tmp_path / "models", exits=(1,), sample=sample, precision=precision, verify=VERIFY
    )
    assert manifest.layers == (2, 1)
    how = manifest.towers["text"].rendering
    assert how is not None
    assert cosines(vectors(folder, how, 2), own_vectors(checkpoint, how)).min() > 0.95


def test_weights_in_pickles_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(CheckpointUnsupported, match="no weights in safetensors, and pickled"):
        written(checkpoint, tmp_path / "models")


def test_weights_that_do_not_fit_are_told(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "config.json").write_text(
        json.dumps({**CONFIG, "model_type": "pixel", "num_hidden_layers": 3})
    )
    with pytest.raises(CheckpointUnsupported, match=r"do not make a PIXEL: .*Missing key.*layers\.2"):
        written(checkpoint, tmp_path / "models")
