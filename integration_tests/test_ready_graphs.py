"""An ONNX graph with the modules that its checkpoint declares after it: exported, served, and searched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from integration_tests.fixtures.services import Serve
from pymilvus import DataType
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense, LayerNorm, Normalize, Pooling

import nestvec
from nestvec.milvus.connection import open_milvus
from nestvec.service.verification import open_served
from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.samples.docstrings import sample_texts
from nestvec_schemas.vectors import Vectors, cosines

TEXTS = [*sample_texts(12), "CAPITALS and naïve añ語🎈", "x", "words " * 400]
PROMPTS = {"query": "query: ", "document": "passage: ", "Clustering": "cluster this: "}


class TokenVectors(torch.nn.Module):
    """A BERT's token vectors."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Any, mask: Any, types: Any) -> Any:
        return self.model(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state


@pytest.fixture(scope="module")
def checkpoint(minilm_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """all-MiniLM-L6-v2 with other modules after it, prompts that pooling omits, and ``onnx/model.onnx``."""
    folder = tmp_path_factory.mktemp("ready") / "encoder"
    torch.manual_seed(0)
    model = SentenceTransformer(str(minilm_checkpoint), device="cpu")
    pooling = Pooling(384, pooling_mode=("mean", "max"), include_prompt=False)
    head = [LayerNorm(768), Dense(768, 256, activation_function=torch.nn.GELU()), Dense(256, 96), Normalize()]
    modules = [model[0], pooling, *head]
    SentenceTransformer(modules=modules, prompts=PROMPTS, device="cpu").save(
        str(folder), create_model_card=False
    )
    settings = {"max_seq_length": 128, "do_lower_case": True}
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    (folder / "onnx").mkdir()
    ids = torch.ones((2, 7), dtype=torch.int64)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    with quiet(), torch.no_grad():
        torch.onnx.export(
            TokenVectors(model[0].auto_model.eval()),
            (ids, ids, ids * 0),
            str(folder / "onnx" / "model.onnx"),
            dynamo=False,
            opset_version=14,
            input_names=names,
            output_names=["last_hidden_state"],
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in [*names, "last_hidden_state"]},
        )
    return folder


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``compared`` with the weights beside the graph, and ``alone`` without any."""
    models = tmp_path_factory.mktemp("models")
    options = ExportOptions(str(checkpoint), models, "compared", read_from="onnx")
    export(options, open_served=open_served)
    bare = Path(shutil.copytree(checkpoint, models.parent / "bare"))
    (bare / "model.safetensors").unlink()
    export(ExportOptions(str(bare), models, "alone"), open_served=open_served)
    return models


@pytest.fixture(scope="module")
def service(exported: Path, serve: Serve) -> str:
    return serve(exported)


@pytest.fixture(scope="module")
def library(checkpoint: Path) -> Iterator[SentenceTransformer]:
    yield SentenceTransformer(str(checkpoint), device="cpu")


def served(address: str, encoder: str, texts: list[str], **fields: object) -> Vectors:
    body = {"inputs": texts, "truncate": True, **fields}
    answer = httpx.post(f"{address}/embed?encoder={encoder}", json=body, timeout=120, trust_env=False)
    assert answer.status_code == 200, answer.text
    return np.array(answer.json(), np.float32)


def test_what_verification_says(exported: Path) -> None:
    compared, alone = (read_manifest(exported / name).verification for name in ("compared", "alone"))
    assert str(compared.reference).startswith("sentence-transformers")
    assert alone.reference is None
    assert compared.served and alone.served
    assert min(compared.cosine_min, alone.cosine_min) >= 0.9999
    assert {"prompts", "lengths", "characters", "batches"} <= set(alone.groups)


@pytest.mark.parametrize("encoder", ["compared", "alone"])
@pytest.mark.parametrize("prompt", [None, *PROMPTS])
def test_served_vectors_are_the_librarys(
    service: str, library: SentenceTransformer, encoder: str, prompt: str | None
) -> None:
    fields: dict[str, object] = {} if prompt is None else {"prompt_name": prompt}
    chosen = {"prompt": ""} if prompt is None else {"prompt_name": prompt}
    expected = np.asarray(library.encode(TEXTS, batch_size=1, **chosen), np.float32)
    assert cosines(expected, served(service, encoder, TEXTS, **fields)).min() >= 0.9999


def test_searched_in_milvus_lite(service: str, tmp_path: Path) -> None:
    texts = TEXTS[:10]
    with open_milvus(str(tmp_path / "ready.db")) as client:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("body", DataType.VARCHAR, max_length=8192)
        nestvec.add_embedding(schema, "body", encoder="alone", dims=[96], service=service)
        client.create_collection("texts", schema=schema, index_params=nestvec.index_params(schema))
        client.insert("texts", [{"id": number, "body": text} for number, text in enumerate(texts)])
        hits = client.search("texts", data=texts[3:6], anns_field="body_96", limit=1)
        assert [found[0]["id"] for found in hits] == [3, 4, 5]
