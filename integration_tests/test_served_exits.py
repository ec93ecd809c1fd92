"""Exits of the real encoder, from the request to the vector: the service, and Milvus Lite through it."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
from integration_tests.fixtures.services import Serve
from pymilvus import MilvusClient

from nestvec.collections import lifecycle
from nestvec.engines.onnx import OnnxEngine
from nestvec.service.preprocess.inputs import collate_ids
from nestvec_schemas.errors import ExitNotOffered, StoreRefused
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.spec.collection_spec import CollectionSpec
from nestvec_schemas.spec.yaml_file import parse_spec
from nestvec_schemas.vectors import cosines

TEXTS = [
    "The flow of heat behind a shock wave in a gas.",
    "A method to estimate the lift of a slender wing at high speed.",
    "Bread rises because yeast gives off carbon dioxide.",
    "The committee adjourned the hearing until next week.",
]

SPEC = """
collection: papers
service: {service}
fields:
  id:       {{type: INT64, primary: true}}
  abstract: {{type: VARCHAR, max_length: 8192}}
embeddings:
  - {{field: abstract, encoder: minilm, dims: [64]}}
  - {{field: abstract, encoder: minilm, dims: [64, 384], exit: 3}}
"""


@pytest.fixture(scope="module")
def service(exiting: Path, serve: Serve) -> str:
    return serve(exiting)


def spec(service: str, old: str = "", new: str = "") -> CollectionSpec:
    return parse_spec(SPEC.format(service=service).replace(old, new), path="spec")


def embed(service: str, query: str) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    answer = httpx.post(f"{service}/embed?{query}", json={"inputs": TEXTS})
    assert answer.status_code == 200, answer.text
    return np.array(answer.json(), np.float32)


def test_an_exit_is_another_vector_in_the_same_space(service: str) -> None:
    deep, shallow = embed(service, "exit=6"), embed(service, "exit=3")
    assert np.array_equal(deep, embed(service, "dim=384"))
    found = cosines(deep, shallow)
    assert found.min() > 0.3
    assert found.max() < 0.999
    assert np.allclose(np.linalg.norm(shallow, axis=1), 1, atol=1e-5)


def test_a_row_has_its_exits_vector_in_any_batch(exiting: Path) -> None:
    engine = OnnxEngine({"minilm": exiting / "minilm"})
    depth = read_manifest(exiting / "minilm").depth
    rows = [np.array([101, 2000 + n, 3000, 102]) for n in range(3)]
    alone = [engine.run_now("minilm", collate_ids([row], 3)) for row in rows]
    together = engine.run_now("minilm", collate_ids(rows, 3))
    assert np.allclose(np.concatenate(alone), together, atol=1e-5)
    assert np.array_equal(
        engine.run_now("minilm", collate_ids(rows)), engine.run_now("minilm", collate_ids(rows, depth))
    )


def test_milvus_lite_stores_and_searches_by_the_exit(client: MilvusClient, service: str) -> None:
    table = lifecycle.create_collection(client, spec(service))
    assert [one.column for one in table.embeddings] == [
        "abstract_64",
        "abstract_64_exit3",
        "abstract_384_exit3",
    ]
    assert [(one.config.exit, one.config.encoder) for one in table.embeddings] == [
        (None, "minilm"),
        (3, "minilm"),
        (3, "minilm"),
    ]
    client.insert("papers", [{"id": number, "abstract": text} for number, text in enumerate(TEXTS)])
    rows = sorted(
        client.query("papers", filter="id >= 0", output_fields=["abstract_64_exit3"]),
        key=lambda row: row["id"],
    )
    stored = np.array([row["abstract_64_exit3"] for row in rows])
    assert cosines(stored, embed(service, "dim=64&exit=3")).min() > 0.99999
    for column in ("abstract_64_exit3", "abstract_384_exit3"):
        (hits,) = client.search("papers", data=["heat flow in shock waves"], anns_field=column, limit=1)
        assert hits[0]["id"] == 0


@pytest.mark.parametrize(
    ("old", "new", "error", "said"),
    [
        ("exit: 3", "exit: 5", ExitNotOffered, "no exit after this layer: 5"),
        ("exit: 3", "form: int8", StoreRefused, "Milvus Lite has no INT8_VECTOR fields.*2.6 or later"),
        ("exit: 3", "form: binary", StoreRefused, "Milvus Lite has no BINARY_VECTOR fields.*2.6 or later"),
    ],
)
def test_what_is_not_there_leaves_nothing_behind(
    client: MilvusClient, service: str, old: str, new: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        lifecycle.create_collection(client, spec(service, old, new))
    assert lifecycle.collection_names(client) == ()
