"""SigLIP 2's NaFlex against transformers, images of many shapes in one batch."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_image_models
import torch
import transformers

from nestvec_exporters import ExportOptions, Overrides, export
from nestvec_exporters.probes.images import probe_images
from nestvec_exporters.probes.texts import text_rows
from nestvec_exporters.verify.compare import run_graph
from nestvec_exporters.vision.image_tower import read_processor
from nestvec_exporters.vision.naflex import patch_rows
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.repository import GRAPH, part_folder, read_manifest
from nestvec_schemas.vectors import cosines

TEXTS = ["A frog.", "x", "two red apples, and a pear"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_image_models.write(
        tiny_image_models.NAFLEX, tmp_path_factory.mktemp("checkpoints") / "naflex"
    )


@pytest.fixture(scope="module")
def folder(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("exported") / "models"
    export(ExportOptions(str(checkpoint), models, "naflex"))
    return models / "naflex"


def image_vectors(folder: Path) -> Array:
    tower = read_manifest(folder).towers["image"]
    assert tower.patching is not None
    rows = patch_rows(tower.patching, probe_images())
    assert len({len(row["patches"]) for row in rows}) > 3
    return np.stack(run_graph(part_folder(folder, "image") / GRAPH, rows))


def test_both_towers_give_what_transformers_gives(checkpoint: Path, folder: Path) -> None:
    model: Any = transformers.Siglip2Model.from_pretrained(checkpoint).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    assert tokenizer.padding_side == "left"
    asked = tokenizer(TEXTS, padding="max_length", truncation=True, return_tensors="pt")["input_ids"]
    told = read_processor(checkpoint)(list(probe_images()), return_tensors="pt")
    with torch.no_grad():
        own = model(input_ids=asked, **told)
    manifest = read_manifest(folder)
    assert manifest.verification.cosine_min > 0.9999
    assert manifest.towers["image"].inputs == ("patches", "attention_mask", "spatial_shapes")
    assert (manifest.towers["image"].max_tokens, manifest.towers["image"].image_transform) == (24, None)
    found = image_vectors(folder)
    assert cosines(found, own.image_embeds.numpy()).min() > 0.9999
    np.testing.assert_allclose(found, own.image_embeds, atol=1e-4)
    texts = np.stack(run_graph(folder / GRAPH, text_rows(folder, TEXTS, 32)))
    assert cosines(texts, own.text_embeds.numpy()).min() > 0.9999
    pairs = combinations(range(len(found)), 2)
    assert max(float(found[a] @ found[b]) for a, b in pairs) < 0.9999


@pytest.mark.parametrize("precision", ["fp16", "int8-dynamic"])
def test_precisions(precision: Any, checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    export(ExportOptions(str(checkpoint), tmp_path / "models", "naflex", precision=precision))
    near = cosines(image_vectors(tmp_path / "models" / "naflex"), image_vectors(folder))
    assert (0.999 if precision == "fp16" else 0.95) < near.min() < 0.9999999


def test_what_is_one_image_is_told(checkpoint: Path, tmp_path: Path) -> None:
    for asked, said in ((Overrides(frames=2), "--frames 2"), (Overrides(pooling="cls"), "--pooling cls")):
        with pytest.raises(CheckpointUnsupported, match=f"in its own shape.*{said}"):
            export(ExportOptions(str(checkpoint), tmp_path / "models", "naflex", overrides=asked))


def test_patches_that_the_network_does_not_read(checkpoint: Path, tmp_path: Path) -> None:
    copy = tiny_image_models.write(tiny_image_models.NAFLEX, tmp_path / "copy")
    path = copy / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "patch_size": 8}))
    with pytest.raises(CheckpointUnsupported, match=r"patches that its network reads: 8 pixels, and 16"):
        export(ExportOptions(str(copy), tmp_path / "models", "naflex"))
