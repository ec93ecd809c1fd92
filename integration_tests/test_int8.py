"""A real encoder in int8 over HTTP: OpenVINO runs it, and a text has the same vector in any batch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from integration_tests.fixtures.services import Serve

from nestvec_exporters import ExportOptions, export
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.samples.docstrings import sample_texts
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.vectors import Vectors, cosines

SENTENCES = [text.partition("\n")[0] for text in sample_texts(600)]
CALIBRATION = Sample("first lines", tuple(SENTENCES[::3]))
TEXTS = [*SENTENCES[1::40], "heat", " ".join(SENTENCES[1:40]), " ".join(SENTENCES[1:9])]
"""Of a word to more than the encoder reads."""


@pytest.fixture(scope="module")
def int8(minilm_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``minilm`` in int8."""
    models = tmp_path_factory.mktemp("int8") / "models"
    export(
        ExportOptions(
            str(minilm_checkpoint),
            models,
            "minilm",
            precision="int8",
            calibration=CALIBRATION,
            verify="quick",
        )
    )
    return models


def embed(service: str, texts: list[str]) -> Vectors:
    response = httpx.post(f"{service}/embed", json={"inputs": texts}, timeout=120, trust_env=False)
    assert response.status_code == 200, response.text
    return np.asarray(response.json(), np.float32)


def test_the_batch_changes_no_vector_over_http(int8: Path, serve: Serve) -> None:
    service = serve(int8)
    encoder = httpx.get(f"{service}/info", timeout=60, trust_env=False).json()["encoders"]["minilm"]
    assert encoder["engine"]["name"] == "openvino"
    together = embed(service, TEXTS)
    backwards = embed(service, TEXTS[::-1])[::-1]
    with ThreadPoolExecutor(8) as clients:  # whose texts the service batches as they come
        alone = np.concatenate(list(clients.map(lambda text: embed(service, [text]), TEXTS)))
    assert np.abs(together - backwards).max() < 1e-6
    assert np.abs(together - alone).max() < 1e-6


def test_the_manifest_says_what_int8_keeps_and_the_vectors_are_near(
    int8: Path, models: Path, serve: Serve
) -> None:
    quantisation = read_manifest(int8 / "minilm").quantisation
    assert quantisation is not None
    assert quantisation.sample == "first lines"
    assert quantisation.cosine_mean >= 0.998
    near = cosines(embed(serve(models), TEXTS), embed(serve(int8), TEXTS))
    assert near.mean() > 0.995
    assert near.min() > 0.98
