from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny_image_models
import torch
import transformers
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tritonclient.grpc.model_config_pb2 import TYPE_UINT8, ModelConfig
from verify_level import VERIFY

from nestvec_exporters import ExportOptions, Overrides, export
from nestvec_exporters.probes.images import probe_images
from nestvec_exporters.probes.texts import text_rows
from nestvec_exporters.verify.compare import run_graph
from nestvec_exporters.vision.image_tower import image_rows, read_processor
from nestvec_schemas.errors import CheckpointUnsupported, EncoderError
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.repository import GRAPH, part_folder, read_manifest, verify_files
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.vectors import cosines

DATA = Path(os.environ.get("NESTVEC_DATA", "../shared/data")).resolve()

TEXTS = ["A frog.", "x", "two red apples, and a pear", "the end of a longer text that is cut here " * 3]


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported") / "models"


@pytest.fixture
def written(request: pytest.FixtureRequest, checkpoints: Path, models: Path) -> tuple[Path, Path]:
    """The checkpoint of a row, and its encoder's folder; each is made once a session."""
    name = getattr(request, "param", "clip")
    checkpoint = checkpoints / name
    if not checkpoint.exists():
        tiny_image_models.write(tiny_image_models.DUAL[name], checkpoint)
        export(ExportOptions(str(checkpoint), models, name, verify=VERIFY))
    return checkpoint, models / name


def real_images() -> list[Image.Image]:
    folders = [DATA / "tuxpaint-stamps" / "images", DATA / "emoji" / "images"]
    if not all(folder.is_dir() for folder in folders):
        pytest.skip(f"{folders} are not there; NESTVEC_DATA names the folder that holds them")
    paths = [path for folder in folders for path in sorted(folder.iterdir())[::200]]
    found = []
    for path in paths:
        with Image.open(path) as image:
            found.append(image.convert("RGBA").copy())
    return found


def text_vectors(folder: Path, texts: list[str]) -> Array:
    manifest = read_manifest(folder)
    rows = text_rows(folder, texts, manifest.towers["text"].max_tokens)
    return np.stack(run_graph(folder / GRAPH, rows))


def image_vectors(folder: Path, images: Any) -> Array:
    tower = read_manifest(folder).towers["image"]
    assert tower.image_transform is not None
    rows = image_rows(tower.image_transform, tower.frames, images)
    return np.stack(run_graph(part_folder(folder, "image") / GRAPH, rows))


def tokenised(checkpoint: Path, text: str) -> dict[str, torch.Tensor]:
    """As the model's card says: SigLIP's texts are padded to the longest, and nothing is masked."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    siglip = "siglip" in checkpoint.name
    found = tokenizer(text, truncation=True, padding="max_length" if siglip else False, return_tensors="pt")
    assert ("attention_mask" in found) != siglip
    return {name: found[name] for name in ("input_ids", "attention_mask") if name in found}


def whole_model(checkpoint: Path) -> Any:
    name = tiny_image_models.DUAL[checkpoint.name].kind
    return getattr(transformers, name).from_pretrained(checkpoint).eval()


@pytest.mark.parametrize("written", tiny_image_models.DUAL, indirect=True)
def test_both_towers_give_what_the_whole_model_of_transformers_gives(written: tuple[Path, Path]) -> None:
    checkpoint, folder = written
    images = real_images()
    model, processor = whole_model(checkpoint), read_processor(checkpoint)
    white = [
        Image.alpha_composite(Image.new("RGBA", one.size, "white"), one).convert("RGB") for one in images
    ]
    values = [torch.as_tensor(np.stack(processor(one)["pixel_values"])) for one in white]
    texts, found = text_vectors(folder, TEXTS), image_vectors(folder, images)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    with torch.no_grad():
        if checkpoint.name == "blip-itm":
            scores = [
                [
                    float(
                        model(**tokenised(checkpoint, text), pixel_values=one, use_itm_head=False).itm_score
                    )
                    for one in values
                ]
                for text in TEXTS
            ]
            np.testing.assert_allclose(texts @ found.T, scores, atol=1e-5)
        else:
            for text, vector in zip(TEXTS, texts, strict=True):
                own = model(**tokenised(checkpoint, text), pixel_values=values[0]).text_embeds.numpy()
                assert cosines(own, vector[None]).min() > 0.9999
            asked = tokenised(checkpoint, TEXTS[0])
            own = np.concatenate([model(**asked, pixel_values=one).image_embeds.numpy() for one in values])
            assert cosines(own / np.linalg.norm(own, axis=1, keepdims=True), found).min() > 0.9999
    # The comparison means something only where inputs differ.
    for vectors in (texts, found):
        pairs = list(combinations(range(len(vectors)), 2))
        assert max(float(vectors[a] @ vectors[b]) for a, b in pairs) < 0.9995


@pytest.mark.parametrize("written", ["clip"], indirect=True)
def test_one_encoder_has_two_graphs_and_each_holds_its_tower_alone(written: tuple[Path, Path]) -> None:
    _, folder = written
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    assert manifest.normalised
    assert (manifest.dim, manifest.dims) == (40, (40, 32))
    assert manifest.parts == {"": "text", "image": "image"}
    assert set(manifest.files) == {"1/model.onnx", "tokenizer.json", "@image/1/model.onnx"}
    text, image = manifest.towers["text"], manifest.towers["image"]
    assert (text.pooling, text.max_tokens, text.image_transform) == ("eos", 32, None)
    assert (image.inputs, image.max_tokens, image.frames) == (("pixels",), 16, 1)
    weights = [
        {tensor.name for tensor in onnx.load(place / GRAPH).graph.initializer}
        for place in (folder, part_folder(folder, "image"))
    ]
    assert not any("vision" in name for name in weights[0])
    assert not any("text" in name for name in weights[1])
    config = text_format.Parse((part_folder(folder, "image") / "config.pbtxt").read_text(), ModelConfig())
    (pixels,) = config.input
    assert (pixels.name, pixels.data_type, list(pixels.dims)) == ("pixels", TYPE_UINT8, [64, 64, 3])


@pytest.mark.parametrize("written", ["siglip", "clip"], indirect=True)
def test_a_texts_vector_does_not_depend_on_its_batch(written: tuple[Path, Path]) -> None:
    _, folder = written
    alone = np.concatenate([text_vectors(folder, [text]) for text in TEXTS])

    @settings(max_examples=15, deadline=None)
    @given(st.permutations(range(len(TEXTS))))
    def check(order: list[int]) -> None:
        np.testing.assert_allclose(text_vectors(folder, [TEXTS[at] for at in order]), alone[order], atol=1e-5)

    check()


@pytest.mark.parametrize("written", ["clip", "align"], indirect=True)
def test_an_images_vector_does_not_depend_on_its_batch(written: tuple[Path, Path]) -> None:
    _, folder = written
    drawn = probe_images()
    alone = np.concatenate([image_vectors(folder, [one]) for one in drawn])

    @settings(max_examples=15, deadline=None)
    @given(st.lists(st.integers(0, len(drawn) - 1), min_size=1, max_size=9))
    def check(places: list[int]) -> None:
        found = image_vectors(folder, [drawn[at] for at in places])
        np.testing.assert_allclose(found, alone[places], atol=1e-5)

    check()


SAMPLE = Sample("words.txt", tuple(f"{a} and {b}" for a in TEXTS[2].split() for b in map(str, range(60))))


def test_a_rotation_turns_both_towers_alike(written: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, plain = written
    options = ExportOptions(
        str(checkpoint), tmp_path, "clip", rotation="pca", sample=SAMPLE, dims=(8,), verify=VERIFY
    )
    manifest = export(options)
    assert manifest.nesting == "rotated"
    matrix = np.load(tmp_path / "clip" / "rotation.npy", allow_pickle=False)
    drawn = probe_images()[:6]
    texts, turned = text_vectors(plain, TEXTS), text_vectors(tmp_path / "clip", TEXTS)
    images, other = image_vectors(plain, drawn), image_vectors(tmp_path / "clip", drawn)
    np.testing.assert_allclose(turned, texts @ matrix, atol=1e-5)
    np.testing.assert_allclose(other, images @ matrix, atol=1e-5)
    np.testing.assert_allclose(turned @ other.T, texts @ images.T, atol=1e-5)
    assert np.abs(turned - texts).max() > 0.01


@pytest.mark.parametrize(("precision", "least"), [("fp16", 0.999), ("int8-dynamic", 0.95)])
def test_a_precision_lowers_both_towers(
    precision: Any, least: float, written: tuple[Path, Path], tmp_path: Path
) -> None:
    checkpoint, exact = written
    manifest: Manifest = export(ExportOptions(str(checkpoint), tmp_path, "clip", precision=precision))
    assert least <= manifest.verification.cosine_min < 0.9999999
    drawn = probe_images()[:6]
    for found, expected in (
        (text_vectors(tmp_path / "clip", TEXTS), text_vectors(exact, TEXTS)),
        (image_vectors(tmp_path / "clip", drawn), image_vectors(exact, drawn)),
    ):
        assert least < cosines(found, expected).min()
        assert np.abs(found - expected).max() > 0


def test_frames_are_averaged_as_vectors_of_length_1(written: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, single = written
    overrides = Overrides(frames=3)
    manifest = export(ExportOptions(str(checkpoint), tmp_path, "clip", overrides=overrides))
    tower = manifest.towers["image"]
    assert (tower.frames, tower.max_tokens) == (3, 48)
    drawn = probe_images()
    groups = [drawn[0:3], drawn[3:6]]
    means = image_vectors(single, drawn[:6]).reshape(2, 3, -1).mean(axis=1)
    found = image_vectors(tmp_path / "clip", groups)
    np.testing.assert_allclose(found, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-5)
    # One image is a still: all of its frames are alike.
    np.testing.assert_allclose(
        image_vectors(tmp_path / "clip", drawn[:1]), image_vectors(single, drawn[:1]), atol=1e-5
    )


def test_max_tokens_and_prompts_are_kept(written: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, _ = written
    overrides = Overrides(query_prompt="a photo of ")
    manifest = export(ExportOptions(str(checkpoint), tmp_path, "clip", max_tokens=9, overrides=overrides))
    assert manifest.towers["text"].max_tokens == 9
    assert manifest.prompts == {"query": "a photo of "}
    with pytest.raises(CheckpointUnsupported, match="--max-tokens 32 or less"):
        export(ExportOptions(str(checkpoint), tmp_path, "more", max_tokens=33))


def test_what_a_dual_encoder_cannot_do_is_refused(written: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, _ = written
    with pytest.raises(CheckpointUnsupported, match="Omit --pooling"):
        export(ExportOptions(str(checkpoint), tmp_path, "x", overrides=Overrides(pooling="mean")))
    with pytest.raises(EncoderError, match="no layers to stop after"):
        export(ExportOptions(str(checkpoint), tmp_path, "x", exits=(1,), sample=SAMPLE))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ('{"model_type": "blip", "architectures": ["BlipForConditionalGeneration"]}', "writes text"),
    ],
)
def test_checkpoints_without_two_towers_of_one_space(
    config: str, says: str, written: tuple[Path, Path], tmp_path: Path
) -> None:
    checkpoint, _ = written
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text(config)
    (folder / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointUnsupported, match=says):
        export(ExportOptions(str(folder), tmp_path / "models", "x"))


def test_weights_that_are_missing_are_told(written: tuple[Path, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    checkpoint, _ = written
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for path in checkpoint.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = load_file(folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointUnsupported, match=r"visual_projection\.weight"):
        export(ExportOptions(str(folder), tmp_path / "models", "x"))
