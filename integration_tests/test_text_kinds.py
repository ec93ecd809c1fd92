"""Decoders, encoder halves, token-free encoders and pictures of text: served, and searched in Milvus Lite."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx
import numpy as np
import pytest
from encoder_vectors import encoder_vectors
from integration_tests.fixtures.services import Serve
from pymilvus import DataType
from sentence_transformers import SentenceTransformer

import nestvec
from nestvec.milvus.connection import open_milvus
from nestvec.service.server import bind, open_embedder, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_exporters import ExportOptions, export
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.samples.docstrings import sample_texts
from nestvec_schemas.vectors import Vectors, cosines

TEXTS = [*sample_texts(20), "añ语🎈", "x"]


@pytest.fixture(scope="module")
def service(tiny_texts: Path, serve: Serve) -> str:
    return serve(tiny_texts)


def embedded(
    service: str, encoder: str, texts: list[str], status: int = 200, **fields: object
) -> httpx.Response:
    body = {"inputs": texts, **fields}
    answer = httpx.post(f"{service}/embed?encoder={encoder}", json=body, timeout=60, trust_env=False)
    assert answer.status_code == status, answer.text
    return answer


def vectors(service: str, encoder: str, texts: list[str]) -> Vectors:
    return np.array(embedded(service, encoder, texts).json(), np.float32)


@pytest.mark.parametrize("encoder", ["decoder", "nllb", "canine", "byt5", "pixel"])
def test_a_text_has_one_vector_in_whatever_company(service: str, encoder: str) -> None:
    together = vectors(service, encoder, TEXTS)
    assert together.shape == (len(TEXTS), 32)
    alone = np.concatenate([vectors(service, encoder, [f"{text} "]) for text in TEXTS[:4]])
    among = vectors(service, encoder, [f"{text} " for text in TEXTS])
    assert cosines(alone, among[:4]).min() > 0.99999
    assert cosines(together[[0]], together[[1]])[0] < 0.9999


@pytest.mark.parametrize("encoder", ["decoder", "nllb"])
def test_the_service_gives_the_exported_vectors(service: str, encoder: str, tiny_texts: Path) -> None:
    tokens = read_manifest(tiny_texts / encoder).main_tower.max_tokens
    expected = encoder_vectors(tiny_texts / encoder, TEXTS, tokens)
    assert cosines(vectors(service, encoder, TEXTS), expected).min() > 0.99999


def test_a_text_may_bring_its_language(service: str) -> None:
    plain, tagged, other = vectors(
        service, "nllb", [TEXTS[0], f"eng_Latn {TEXTS[0]}", f"fra_Latn {TEXTS[0]}"]
    )
    assert cosines(plain[None], tagged[None])[0] > 0.99999
    assert cosines(plain[None], other[None])[0] < 0.9999


def test_a_drawn_text_has_no_tokens_and_is_cut_at_its_end(service: str) -> None:
    long = "word " * 400
    answer = embedded(service, "pixel", [long, "word"])
    assert answer.headers["x-nestvec-truncated"] == "1"
    assert answer.headers["x-compute-tokens"] == str(64 + 4)
    refused = embedded(service, "pixel", [long], 422, truncate=False)
    assert "more than the 64 tokens that pixel takes" in refused.json()["error"]
    left = embedded(service, "pixel", [long], 422, truncate=True, truncation_direction="Left")
    assert "renders a text from its beginning" in left.json()["error"]
    asked = httpx.post(f"{service}/tokenize?encoder=pixel", json={"inputs": "a"}, timeout=60, trust_env=False)
    assert "reads text as pixels and has no tokens" in asked.json()["error"]


PROMPTS = {"query": "Instruct: find what answers\nQuery: "}


def test_a_prompt_is_left_out_of_pooling_with_real_weights(minilm_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "instructed"
    shutil.copytree(minilm_checkpoint, checkpoint)
    for name, told in (("1_Pooling/config", {"include_prompt": False}), ("", {"prompts": PROMPTS})):
        path = checkpoint / f"{name or 'config_sentence_transformers'}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **told}))
    manifest = export(ExportOptions(str(checkpoint), tmp_path / "models", "instructed", verify="quick"))
    assert manifest.verification.cosine_min > 0.9999
    own = SentenceTransformer(str(checkpoint), device="cpu")
    embedder = open_embedder(tmp_path / "models", (), ServiceSettings())
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        asked = np.array(embedded(address, "instructed", TEXTS, prompt_name="query").json(), np.float32)
        # Milvus puts the prompt of its function before the text itself.
        sent = vectors(address, "instructed", [f"{PROMPTS['query']}{text}" for text in TEXTS])
        plain = vectors(address, "instructed", TEXTS)
    expected = own.encode(TEXTS, prompt_name="query", batch_size=1)
    assert cosines(asked, expected).min() > 0.9999
    np.testing.assert_allclose(sent, asked, atol=1e-5)
    assert cosines(plain, own.encode(TEXTS, batch_size=1)).min() > 0.9999
    counted = SentenceTransformer(str(minilm_checkpoint), device="cpu").encode(
        TEXTS, prompt=PROMPTS["query"], batch_size=1
    )
    assert cosines(asked, counted).min() < 0.999


@pytest.mark.parametrize("encoder", ["decoder", "nllb", "canine", "byt5", "pixel"])
def test_text_is_inserted_and_found_in_milvus_lite(service: str, encoder: str, tmp_path: Path) -> None:
    with open_milvus(str(tmp_path / "texts.db")) as client:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("body", DataType.VARCHAR, max_length=8192)
        nestvec.add_embedding(schema, "body", encoder=encoder, dims=[32], service=service)
        client.create_collection("texts", schema=schema, index_params=nestvec.index_params(schema))
        client.insert("texts", [{"id": number, "body": text} for number, text in enumerate(TEXTS)])
        rows = client.query("texts", filter="id >= 0", output_fields=["id", "body_32"])
        stored = np.array([row["body_32"] for row in sorted(rows, key=lambda row: row["id"])], np.float32)
        assert cosines(stored, vectors(service, encoder, TEXTS)).min() > 0.99999
        found = client.search("texts", data=TEXTS[5:8], anns_field="body_32", limit=1)
        assert [hits[0]["id"] for hits in found] == [5, 6, 7]
