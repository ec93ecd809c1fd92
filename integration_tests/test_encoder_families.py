"""Families of text encoders, exported by the command, served, and queried in Milvus Lite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from encoder_classes import CLASSES, POSITIONS, EncoderClass
from integration_tests.fixtures.services import Serve, vacant_address
from peft import LoraConfig, PeftModel, get_peft_model
from published import transformer
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from nestvec.cli import cli
from nestvec.collections import lifecycle
from nestvec.milvus.connection import open_milvus
from nestvec.service.in_process import serve_in_process
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.spec.yaml_file import parse_spec
from nestvec_schemas.vectors import Vectors, cosines

TEXTS = ["x", "heat", "the flow of heat behind a shock wave", "bread rises because of yeast " * 4]
FAMILIES = ("gte", "longformer", "modernbert", "nomic", "xlm-roberta")
TASK = "retrieval_query"

SPEC = """
collection: papers
service: {service}
fields:
  id:       {{type: INT64, primary: true}}
  abstract: {{type: VARCHAR, max_length: 8192}}
embeddings:
  - {{field: abstract, encoder: modernbert, dims: [32]}}
  - {{field: abstract, encoder: jina, dims: [32], expert: {task}}}
"""


def _save(encoder: EncoderClass, folder: Path) -> Path:
    fields = {"max_position_embeddings": POSITIONS, **encoder.fields}
    plain = transformer(folder.with_name(f"{folder.name}-plain"), encoder.kind, **fields)
    modules = [Transformer(str(plain)), Pooling(32), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    return folder


def _export(folder: Path, models: Path, *options: str) -> None:
    words = ["export", str(folder), "--to", str(models), "--name", folder.name, *options]
    answer = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of each family, and jina-embeddings-v3 with the adapter of a task."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name in FAMILIES:
        _save(CLASSES[name], folder / name)
    jina = _save(CLASSES["jina-v3"], folder / "jina")
    config = LoraConfig(r=4, target_modules=["q_proj", "fc1"], init_lora_weights=False)
    base: Any = SentenceTransformer(str(jina), device="cpu")[0]
    get_peft_model(base.auto_model, config).save_pretrained(str(jina / TASK))
    return folder


@pytest.fixture(scope="module")
def models(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("exported") / "models"
    for name in (*FAMILIES, "jina"):
        _export(checkpoints / name, models, "--verify", "full" if name == "modernbert" else "quick")
    return models


def _library(folder: Path, adapter: Path | None = None) -> Vectors:
    model = SentenceTransformer(str(folder), device="cpu")
    module: Any = model[0]
    if adapter is not None:
        module.model = PeftModel.from_pretrained(module.auto_model, str(adapter)).eval()
    return np.asarray(model.encode(TEXTS, batch_size=1), np.float32)


def _embed(service: str, query: str) -> Vectors:
    answer = httpx.post(f"{service}/embed?{query}", json={"inputs": TEXTS}, timeout=60)
    assert answer.status_code == 200, answer.text
    return np.array(answer.json(), np.float32)


def test_the_service_gives_what_the_library_gives(models: Path, checkpoints: Path, serve: Serve) -> None:
    service = serve(models)
    for name in FAMILIES:
        assert cosines(_embed(service, f"encoder={name}"), _library(checkpoints / name)).min() > 0.9999
    jina = checkpoints / "jina"
    plain, task = _embed(service, "encoder=jina"), _embed(service, f"encoder=jina&expert={TASK}")
    assert cosines(plain, _library(jina)).min() > 0.9999
    assert cosines(task, _library(jina, jina / TASK)).min() > 0.9999
    assert cosines(task, plain).max() < 0.999


def test_the_manifest_says_how_the_served_path_was_verified(models: Path) -> None:
    verification = read_manifest(models / "modernbert").verification
    assert verification.served
    assert verification.max_tokens == POSITIONS
    assert verification.reference is not None and "SentenceTransformer" in verification.reference
    assert min(verification.groups.values()) > 0.9999


def test_milvus_finds_texts_by_them(models: Path, tmp_path: Path) -> None:
    spec = parse_spec(SPEC.format(service=vacant_address(), task=TASK), path="spec")
    with open_milvus(str(tmp_path / "a.db")) as client, serve_in_process(spec.services, models):
        table = lifecycle.create_collection(client, spec)
        client.upsert(table.name, [{"id": n, "abstract": text} for n, text in enumerate(TEXTS)])
        for column in ("abstract_32", f"abstract_32_{TASK}"):
            hits = client.search(table.name, data=TEXTS, anns_field=column, limit=1)
            assert [hit[0]["id"] for hit in hits] == list(range(len(TEXTS)))
