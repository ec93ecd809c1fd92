from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_image_models
import torch
import transformers
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tritonclient.grpc.model_config_pb2 import ModelConfig
from verify_level import VERIFY

from nestvec_exporters import ExportOptions, Overrides, export
from nestvec_exporters.architectures.vision import with_pooling
from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_exporters.graph.trace import trace_tower
from nestvec_exporters.probes.images import probe_images
from nestvec_exporters.verify.compare import run_graph
from nestvec_exporters.vision.image_tower import (
    ImageModel,
    ImageTower,
    image_rows,
    read_preprocessing,
    read_processor,
)
from nestvec_schemas.errors import CheckpointUnsupported, EncoderError, SampleUnusable
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.repository import GRAPH, read_manifest, verify_files
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.vectors import cosines

DATA = Path(os.environ.get("NESTVEC_DATA", "../shared/data")).resolve()


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture
def checkpoint(request: pytest.FixtureRequest, checkpoints: Path) -> Path:
    name = getattr(request, "param", "vit")
    folder = checkpoints / name
    return folder if folder.exists() else tiny_image_models.write(tiny_image_models.VISION[name], folder)


def real_images() -> list[Image.Image]:
    folder = DATA / "tuxpaint-stamps" / "images"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there; NESTVEC_DATA names the folder that holds it")
    found = []
    for path in sorted(folder.iterdir())[::60]:
        with Image.open(path) as image:
            found.append(image.convert("RGB"))
    return found


def encode(folder: Path, images: Any) -> Array:
    tower = read_manifest(folder).towers["image"]
    assert tower.image_transform is not None
    rows = image_rows(tower.image_transform, tower.frames, images)
    return np.stack(run_graph(folder / GRAPH, rows))


def exported_to(checkpoint: Path, models: Path, **options: Any) -> tuple[Manifest, Path]:
    manifest = export(ExportOptions(str(checkpoint), models, "tiny", **options))
    verify_files(models / "tiny", manifest)
    return manifest, models / "tiny"


def own(checkpoint: Path, images: list[Image.Image]) -> Any:
    """What transformers' class gives for the images as its own processor prepares them."""
    model = transformers.AutoModel.from_pretrained(checkpoint).eval()
    values = torch.as_tensor(np.stack(read_processor(checkpoint)(images)["pixel_values"]))
    with torch.no_grad():
        return model(values)


@pytest.mark.parametrize("checkpoint", tiny_image_models.VISION, indirect=True)
def test_a_network_gives_what_transformers_gives(checkpoint: Path, tmp_path: Path) -> None:
    manifest, folder = exported_to(checkpoint, tmp_path, verify=VERIFY)
    images = real_images()
    found = encode(folder, images)
    tower = manifest.towers["image"]
    expected = own(checkpoint, images)
    if checkpoint.name == "vit-classifier":
        assert tower.pooling == "cls"  # it was saved without a pooler
        vectors = expected.last_hidden_state[:, 0]
    elif checkpoint.name == "swiftformer":
        assert tower.pooling == "mean"  # it has maps, and nothing that pools them
        vectors = expected.last_hidden_state.mean(dim=(2, 3))
    else:
        assert tower.pooling == "pooler"
        vectors = expected.pooler_output.flatten(1)
    assert list(manifest.towers) == ["image"]
    assert (manifest.dim, tower.max_tokens, manifest.normalised) == (vectors.shape[1], 16, False)
    assert cosines(found, vectors.numpy()).min() > 0.9999
    np.testing.assert_allclose(found, vectors, atol=1e-3 * float(vectors.abs().max()))
    assert set(manifest.files) == {"1/model.onnx"}
    # The comparison means something only where images differ.
    pairs = combinations(range(len(found)), 2)
    assert max(cosines(found[[a]], found[[b]])[0] for a, b in pairs) < 0.9999


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_pooling_that_is_asked_for(pooling: str, checkpoint: Path, tmp_path: Path) -> None:
    overrides = Overrides(pooling=pooling)
    manifest, folder = exported_to(checkpoint, tmp_path, overrides=overrides, verify=VERIFY)
    assert manifest.towers["image"].pooling == pooling
    images = list(probe_images()[:4])
    tokens = own(checkpoint, images).last_hidden_state.numpy()
    expected = tokens[:, 0] if pooling == "cls" else tokens[:, 1:].mean(axis=1)
    np.testing.assert_allclose(encode(folder, images), expected, atol=1e-4)


@pytest.mark.parametrize("checkpoint", ["convnext"], indirect=True)
def test_a_network_without_tokens_has_no_first_one(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointUnsupported, match=r"cls\. Choose --pooling pooler or mean"):
        exported_to(checkpoint, tmp_path, overrides=Overrides(pooling="cls"))
    manifest, folder = exported_to(checkpoint, tmp_path, overrides=Overrides(pooling="mean"))
    images = list(probe_images()[:4])
    expected = own(checkpoint, images).last_hidden_state.mean(dim=(2, 3))
    np.testing.assert_allclose(encode(folder, images), expected, atol=1e-4)
    assert manifest.towers["image"].pooling == "mean"


@pytest.mark.parametrize("checkpoint", ["vit", "efficientnet"], indirect=True)
def test_an_images_vector_does_not_depend_on_its_batch(checkpoint: Path, tmp_path: Path) -> None:
    _, folder = exported_to(checkpoint, tmp_path, verify=VERIFY)
    drawn = probe_images()
    alone = np.concatenate([encode(folder, [one]) for one in drawn])

    @settings(max_examples=15, deadline=None)
    @given(st.lists(st.integers(0, len(drawn) - 1), min_size=1, max_size=9))
    def check(places: list[int]) -> None:
        np.testing.assert_allclose(encode(folder, [drawn[at] for at in places]), alone[places], atol=1e-4)

    check()


@pytest.mark.parametrize("kernel", [13, 31])
@pytest.mark.parametrize("checkpoint", ["convnextv2"], indirect=True)
def test_large_kernels_are_traced_like_small_ones(kernel: int, checkpoint: Path, tmp_path: Path) -> None:
    """UniRepLKNet's kind (Ding et al. 2024): depthwise convolutions that see half of the image and more."""
    model = transformers.AutoModel.from_pretrained(checkpoint).eval()
    torch.manual_seed(0)
    for name, module in list(model.named_modules()):
        if name.endswith(".dwconv"):
            dim = module.in_channels
            wide = torch.nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim)
            model.get_submodule(name.rpartition(".")[0]).dwconv = wide
    how = read_preprocessing(checkpoint)
    module, _ = with_pooling(model, how.transform, None, has_pooler=True)
    model = ImageModel(module, read_processor(checkpoint), how, "pooler", normalised=False)
    tower = ImageTower(model)
    with quiet():
        trace_tower(tower, tmp_path / "graph.onnx")
    rows = tower.rows(tmp_path, tower.probes(), 0)
    found = np.stack(run_graph(tmp_path / "graph.onnx", rows))
    assert cosines(found, np.asarray(tower.reference(tower.probes(), 0))).min() > 0.9999
    assert np.ptp(found, axis=0).max() > 0.1


def test_frames_are_averaged(checkpoint: Path, tmp_path: Path) -> None:
    _, single = exported_to(checkpoint, tmp_path / "single")
    manifest, folder = exported_to(checkpoint, tmp_path / "frames", overrides=Overrides(frames=4))
    assert (manifest.towers["image"].frames, manifest.towers["image"].max_tokens) == (4, 64)
    drawn = probe_images()[:8]
    means = encode(single, drawn).reshape(2, 4, -1).mean(axis=1)
    np.testing.assert_allclose(encode(folder, [drawn[:4], drawn[4:]]), means, atol=1e-4)
    config = text_format.Parse((folder / "config.pbtxt").read_text(), ModelConfig())
    assert list(config.input[0].dims) == [4, 64, 64, 3]


def test_a_rotation_is_fitted_on_a_list_of_images(checkpoint: Path, tmp_path: Path) -> None:
    places = []
    for number in range(300):
        levels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        path = tmp_path / "pictures" / f"an image {number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(levels).resize((70, 64)).save(path)
        places.append(path.as_uri() if number % 2 else str(path))
    _, plain = exported_to(checkpoint, tmp_path / "plain")
    options: dict[str, Any] = {"rotation": "pca", "dims": (8,)}
    sample = Sample("pictures.txt", tuple(places))
    manifest, folder = exported_to(checkpoint, tmp_path / "rotated", sample=sample, **options)
    assert manifest.fit is not None
    assert manifest.retention[8] > manifest.fit.plain[8]
    matrix = np.load(folder / "rotation.npy", allow_pickle=False)
    drawn = probe_images()[:6]
    np.testing.assert_allclose(encode(folder, drawn), encode(plain, drawn) @ matrix, atol=1e-4)
    words = Sample("words.txt", tuple(f"word {number}" for number in range(300)))
    with pytest.raises(SampleUnusable, match="reads images"):
        exported_to(checkpoint, tmp_path / "words", sample=words, **options)


@pytest.mark.parametrize(
    ("checkpoint", "precision"),
    [
        ("vit", "fp16"),
        ("vit", "int8"),
        ("vit", "int8-dynamic"),
        ("resnet", "fp16"),
        ("convnext", "int8-dynamic"),
        ("efficientnet", "fp16"),
    ],
    indirect=["checkpoint"],
)
def test_precisions_that_help(checkpoint: Path, precision: Any, tmp_path: Path) -> None:
    _, exact = exported_to(checkpoint, tmp_path / "exact")
    manifest, folder = exported_to(checkpoint, tmp_path / "low", precision=precision)
    drawn = probe_images()
    found, expected = encode(folder, drawn), encode(exact, drawn)
    assert cosines(found, expected).min() > (0.999 if precision == "fp16" else 0.95)
    assert np.abs(found - expected).max() > 0
    assert manifest.precision == precision


@pytest.mark.parametrize("checkpoint", ["resnet", "efficientnet"], indirect=True)
def test_int8_of_convolutions_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"convolutions.*--precision int8"):
        exported_to(checkpoint, tmp_path, precision="int8-dynamic")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_does_not_say_how_to_prepare_images(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for path in checkpoint.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "preprocessor_config.json").write_text('{"image_processor_type": "OddImageProcessor"}')
    with pytest.raises(CheckpointUnsupported, match="OddImageProcessor"):
        exported_to(folder, tmp_path / "models")
