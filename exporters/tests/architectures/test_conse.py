from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from tiny_image_models import DUAL, EDGE, VISION, write
from verify_level import VERIFY

from nestvec_exporters import ExportOptions, Overrides, export
from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_exporters.conse import LIKELIEST, TEMPLATE, class_names
from nestvec_exporters.probes.images import probe_images
from nestvec_exporters.verify.compare import run_graph
from nestvec_exporters.vision.image_tower import image_rows, read_processor
from nestvec_schemas.errors import CheckpointUnsupported, ExitNotOffered
from nestvec_schemas.repository import GRAPH, ROTATION, part_folder, verify_files
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.vectors import Vectors, cosines, normalise

WORDS = ["tench", "goldfish", "shark", "ray", "cock", "hen", "jay", "owl"]
LABELS = [f"thing {at}, {word}" for at, word in enumerate(WORDS)]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ViT with 8 classes that have names."""
    folder = write(VISION["vit-classifier"], tmp_path_factory.mktemp("classifier") / "vit")
    torch.manual_seed(1)
    config = transformers.AutoConfig.from_pretrained(folder, id2label=dict(enumerate(LABELS)), label2id={})
    model = transformers.ViTForImageClassification(config)
    torch.nn.init.normal_(model.classifier.weight, std=2.0)
    model.save_pretrained(folder)
    return folder


def options(text: Path, classifier: Path, models: Path, **fields: object) -> ExportOptions:
    beside = Overrides(image_checkpoint=str(classifier))
    fields = {"verify": VERIFY, **fields}
    return ExportOptions(str(text), models, "both", overrides=beside, **fields)  # type: ignore[arg-type]


def by_hand(text: Path, classifier: Path) -> Vectors:
    """ConSE written out, by transformers and sentence-transformers alone."""
    with quiet():
        encoder = SentenceTransformer(str(text), device="cpu")
        classes = normalise(encoder.encode([TEMPLATE.format(label) for label in LABELS]))
        model = transformers.ViTForImageClassification.from_pretrained(classifier).eval()
    processor = read_processor(classifier)
    found = []
    for picture in probe_images():
        with torch.no_grad():
            logits = model(**processor(picture, return_tensors="pt")).logits[0]
        chances = torch.softmax(logits, 0).numpy()
        likeliest = np.argsort(-chances)[:LIKELIEST]
        found.append(sum(chances[at] * classes[at] for at in likeliest))
    return normalise(np.stack(found).astype(np.float32))


def seen(folder: Path, tower: object) -> Vectors:
    rows = image_rows(tower, 1, probe_images())  # type: ignore[arg-type]
    return np.stack(run_graph(part_folder(folder, "image") / GRAPH, rows))


def test_images_lie_where_their_classes_names_do(bert: Path, classifier: Path, tmp_path: Path) -> None:
    manifest = export(options(bert, classifier, tmp_path))
    folder = tmp_path / "both"
    verify_files(folder, manifest)
    assert set(manifest.towers) == {"text", "image"}
    assert (manifest.source, manifest.layers, manifest.towers["image"].pooling) == ("bert+vit", (1,), "conse")
    picture = manifest.towers["image"].image_transform
    assert picture is not None
    assert (picture.height, picture.width) == (EDGE, EDGE)
    vectors = seen(folder, picture)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert cosines(by_hand(bert, classifier), vectors).min() > 0.9999


def test_a_rotation_turns_both_towers(bert: Path, classifier: Path, tmp_path: Path) -> None:
    plain = export(options(bert, classifier, tmp_path / "plain")).towers["image"].image_transform
    texts = tuple(f"{number} things of {number % 17} kinds" for number in range(300))
    given = options(bert, classifier, tmp_path, rotation="pca", sample=Sample("numbers", texts))
    export(given)
    rotation = np.load(tmp_path / "both" / ROTATION)
    turned = seen(tmp_path / "plain" / "both", plain) @ rotation
    assert cosines(turned, seen(tmp_path / "both", plain)).min() > 0.9999


@pytest.mark.parametrize("precision", ["fp16", "int8-dynamic"])
def test_other_precisions(bert: Path, classifier: Path, tmp_path: Path, precision: str) -> None:
    manifest = export(options(bert, classifier, tmp_path, precision=precision))
    assert manifest.verification.cosine_mean > 0.98


def test_an_encoder_of_images_in_the_texts_own_space_is_taken_as_it_is(bert: Path, tmp_path: Path) -> None:
    row = DUAL["clip"]
    clip = write(replace(row, fields={**row.fields, "projection_dim": 32}), tmp_path / "clip")
    manifest = export(options(bert, clip, tmp_path))
    own = export(ExportOptions(str(clip), tmp_path, "own"))
    assert manifest.towers["image"] == own.towers["image"]
    assert manifest.towers["text"].pooling == "mean"
    assert (manifest.source, manifest.normalised) == ("bert+clip", False)
    image = manifest.towers["image"].image_transform
    np.testing.assert_array_equal(seen(tmp_path / "both", image), seen(tmp_path / "own", image))
    wide = write(row, tmp_path / "wide")
    with pytest.raises(CheckpointUnsupported, match="40 dims against 32"):
        export(ExportOptions(str(bert), tmp_path, "apart", overrides=Overrides(image_checkpoint=str(wide))))


def test_what_does_not_fit_together(bert: Path, classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointUnsupported, match=r"needs an image checkpoint, and this is not one.*bert"):
        export(options(bert, bert, tmp_path))
    with pytest.raises(ExitNotOffered, match="no layers to stop after"):
        export(options(bert, classifier, tmp_path, exits=(1,), sample=Sample("s", ("a",) * 9)))
    clip = write(DUAL["clip"], tmp_path / "clip")
    with pytest.raises(CheckpointUnsupported, match="dense, text and image"):
        export(options(clip, classifier, tmp_path))
    assert not (tmp_path / "both").exists()


def test_classes_without_names() -> None:
    with pytest.raises(CheckpointUnsupported, match=r"2 of the classes of x have no name.*LABEL_1"):
        class_names({0: "a", 1: "LABEL_1", 2: " "}, "x")
    assert class_names({1: "b, c", 0: "a"}, "x") == ["a", "b, c"]
