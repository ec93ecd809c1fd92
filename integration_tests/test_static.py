"""WordLlama and GloVe, exported, served, and searched in Milvus Lite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as parquet
import pytest
from integration_tests.fixtures.services import Serve
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from nestvec.collections import lifecycle
from nestvec.milvus.connection import open_milvus
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.spec.yaml_file import parse_spec
from nestvec_schemas.vectors import cosines, normalise

TEXTS = [
    "The flow of heat behind a shock wave in a gas.",
    "A method to estimate the lift of a slender wing at high speed.",
    "Bread rises because yeast gives off carbon dioxide.",
    "The committee adjourned the hearing until next week.",
]
QUERIES = [("wing lift", 1), ("baking with yeast", 2), ("a hearing was postponed", 3)]

SPEC = """
collection: papers
service: {service}
fields:
  id:       {{type: INT64, primary: true}}
  abstract: {{type: VARCHAR, max_length: 8192}}
embeddings:
  - {{field: abstract, encoder: wordllama, dims: [64, 256]}}
  - {{field: abstract, encoder: glove, dims: [50]}}
"""


@pytest.fixture(scope="module")
def service(static: Path, serve: Serve) -> str:
    return serve(static)


def embed(service: str, encoder: str, texts: list[str]) -> np.ndarray[Any, Any]:
    answer = httpx.post(f"{service}/embed?encoder={encoder}", json={"inputs": texts})
    assert answer.status_code == 200, answer.text
    return np.array(answer.json(), np.float32)


def test_wordllama_is_served_as_its_own_loader_pools(
    static: Path, service: str, wordllama_folder: Path
) -> None:
    (weights,) = wordllama_folder.glob("weights/*_256.safetensors")
    (tokenizer,) = wordllama_folder.glob("tokenizers/*.json")
    table = load_file(weights)["embedding.weight"].astype(np.float32)
    encoded = Tokenizer.from_file(str(tokenizer)).encode_batch(TEXTS, add_special_tokens=False)
    expected = np.stack([table[one.ids].sum(axis=0) / max(len(one.ids), 1) for one in encoded])
    np.testing.assert_allclose(embed(service, "wordllama", TEXTS), expected, atol=1e-6)
    assert cosines(embed(service, "wordllama-int8", TEXTS), expected).min() > 0.9999
    manifest = read_manifest(static / "wordllama")
    assert (manifest.nesting, manifest.dims) == ("trained", (256, 128, 64))  # those that it was trained for


def test_glove_is_served_as_its_words_average(service: str, glove_folder: Path) -> None:
    words = parquet.read_table(glove_folder / "glove_6B_index.parquet").column(0).to_pylist()
    places = {word: number for number, word in enumerate(words)}
    table = np.load(glove_folder / "glove_6B_50d_emb.npy", mmap_mode="r")
    texts = ["the lift of a slender wing", "bread , yeast and xqzzyw", "it 's 0.5"]
    own = np.stack([table[[places[w] for w in text.split() if w in places]].mean(axis=0) for text in texts])
    found = embed(service, "glove", ["The LIFT of a slender wing", "Bread, yeast and xqzzyw", "It's 0.5"])
    np.testing.assert_allclose(found, normalise(own), atol=1e-6)
    assert not embed(service, "glove", ["xqzzyw", " "]).any()


def test_milvus_fills_and_searches_their_fields(service: str, tmp_path: Path) -> None:
    with open_milvus(str(tmp_path / "papers.db")) as client:
        lifecycle.create_collection(client, parse_spec(SPEC.format(service=service), path="spec"))
        client.insert("papers", [{"id": number, "abstract": text} for number, text in enumerate(TEXTS)])
        for column in ("abstract_64", "abstract_256", "abstract_50"):
            for query, wanted in QUERIES:
                found = client.search("papers", [query], anns_field=column, limit=1)
                assert found[0][0]["id"] == wanted, (column, query)
