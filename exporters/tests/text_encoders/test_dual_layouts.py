from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_image_models
from encoder_vectors import encoder_vectors
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.probes.images import probe_images
from nestvec_exporters.verify.compare import run_graph
from nestvec_exporters.vision.image_tower import image_rows
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import GRAPH, part_folder
from nestvec_schemas.vectors import cosines

Layout = Callable[[Path, Path, bool], None]

TEXTS = ["A frog.", "x", "two red apples, and a pear", "the end of a longer text that is cut here " * 3]
PADDED = {"text": {"padding": "max_length", "max_length": 32}}


def as_on_the_hub(plain: Path, folder: Path, normalised: bool) -> None:
    """As sentence-transformers/clip-ViT-B-32 is published."""
    shutil.copytree(plain, folder / "0_CLIPModel")
    rows = [{"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}]
    if normalised:
        row = {"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"}
        rows.append(row)
        (folder / "1_Normalize").mkdir()
    (folder / "modules.json").write_text(json.dumps(rows), "utf-8")
    versions = {
        "__version__": {"sentence_transformers": "2.0.0", "transformers": "4.6.1", "pytorch": "1.8.1"}
    }
    (folder / "config_sentence_transformers.json").write_text(json.dumps(versions), "utf-8")


def as_saved_today(plain: Path, folder: Path, normalised: bool) -> None:
    modules: list[Any] = [Transformer(str(plain)), *([Normalize()] if normalised else [])]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)


def exported(folder: Path, tmp_path: Path) -> Manifest:
    return export(ExportOptions(str(folder), tmp_path / "models", "tiny", verify="quick"))


def check_both_towers(folder: Path, manifest: Manifest, encoder: Path) -> None:
    library = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    tower, images = manifest.towers["image"], list(probe_images()[:6])
    assert tower.image_transform is not None
    rows = image_rows(tower.image_transform, tower.frames, images)
    given = (
        encoder_vectors(encoder, TEXTS, manifest.towers["text"].max_tokens),
        np.stack(run_graph(part_folder(encoder, "image") / GRAPH, rows)),
    )
    inputs: tuple[list[Any], ...] = (TEXTS, images)
    for vectors, values in zip(given, inputs, strict=True):
        expected = library.encode(values, batch_size=1)
        assert cosines(vectors, expected).min() > 0.9999
        lengths = np.linalg.norm(vectors, axis=1) / np.linalg.norm(expected, axis=1)
        assert np.abs(lengths - 1).max() < 1e-4


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("layout", [as_on_the_hub, as_saved_today])
def test_clip_gives_what_encode_gives(layout: Layout, normalised: bool, tmp_path: Path) -> None:
    plain = tiny_image_models.write(tiny_image_models.DUAL["clip"], tmp_path / "plain")
    layout(plain, tmp_path / "sentence", normalised)
    manifest = exported(tmp_path / "sentence", tmp_path)
    assert manifest.normalised == normalised
    check_both_towers(tmp_path / "sentence", manifest, tmp_path / "models" / "tiny")


def test_siglip_is_exported_where_the_library_pads_its_texts_to_one_length(tmp_path: Path) -> None:
    plain = tiny_image_models.write(tiny_image_models.DUAL["siglip"], tmp_path / "plain")
    folder = tmp_path / "sentence"
    as_saved_today(plain, folder, True)
    with pytest.raises(CheckpointUnsupported, match="SiglipModel reads padding"):
        exported(folder, tmp_path)
    settings = folder / "sentence_bert_config.json"
    declared = {**json.loads(settings.read_text("utf-8")), "processing_kwargs": PADDED}
    settings.write_text(json.dumps(declared), "utf-8")
    check_both_towers(folder, exported(folder, tmp_path), tmp_path / "models" / "tiny")


def test_modules_that_only_texts_could_pass_are_refused_by_name(tmp_path: Path) -> None:
    plain = tiny_image_models.write(tiny_image_models.DUAL["clip"], tmp_path / "plain")
    modules: list[Any] = [Transformer(str(plain)), Normalize(), Dense(40, 16)]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path / "sentence"))
    with pytest.raises(CheckpointUnsupported, match="Transformer, Normalize, Dense"):
        exported(tmp_path / "sentence", tmp_path)
