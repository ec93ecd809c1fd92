"""One encoder with an expert a domain: chosen by a function, a request or a statement, by no router."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from integration_tests.fixtures.services import Serve
from pymilvus import DataType, MilvusClient
from sentence_transformers import SentenceTransformer

import nestvec
from nestvec import dbapi
from nestvec.cli import cli
from nestvec.collections import lifecycle
from nestvec.milvus.catalog import read_table
from nestvec_schemas.errors import ExpertNotOffered
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.spec.yaml_file import parse_spec
from nestvec_schemas.vectors import Vectors, cosines

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
  - {{field: abstract, encoder: minilm, dims: [384], expert: biomed}}
  - {{field: abstract, encoder: minilm, dims: [384], expert: legal}}
  - {{field: abstract, encoder: minilm, dims: [64], expert: legal, exit: 3}}
"""
COLUMNS = ["abstract_384_biomed", "abstract_384_legal", "abstract_64_legal_exit3"]


@pytest.fixture(scope="module")
def service(routed: Path, serve: Serve) -> str:
    return serve(routed)


def own(folder: str) -> Vectors:
    """What sentence-transformers makes of the texts."""
    return np.asarray(SentenceTransformer(folder, device="cpu").encode(TEXTS), np.float32)


def embed(service: str, query: str) -> Vectors:
    answer = httpx.post(f"{service}/embed?{query}", json={"inputs": TEXTS})
    assert answer.status_code == 200, answer.text
    return np.array(answer.json(), np.float32)


def test_each_expert_is_its_own_checkpoint(service: str, names: dict[str, str]) -> None:
    found = {
        names["base"]: embed(service, "encoder=minilm"),
        names["A"]: embed(service, "encoder=minilm&expert=biomed"),
        names["B"]: embed(service, "encoder=minilm@legal"),
    }
    for folder, vectors in found.items():
        assert cosines(vectors, own(folder)).min() > 0.9999
    assert np.abs(found[names["A"]] - found[names["B"]]).max() > 1e-3
    shallow = embed(service, "encoder=minilm@legal@3&dim=64")
    np.testing.assert_array_equal(shallow, embed(service, "encoder=minilm&expert=legal&exit=3&dim=64"))
    assert np.abs(shallow - embed(service, "encoder=minilm&exit=3&dim=64")).max() > 1e-3


def test_experts_are_listed(service: str, routed: Path, names: dict[str, str]) -> None:
    assert httpx.get(f"{service}/info").json()["encoders"]["minilm"]["experts"] == ["biomed", "legal"]
    assert read_manifest(routed / "minilm").experts == {"biomed": "A", "legal": "B"}
    listed = CliRunner().invoke(cli, ["encoders", "--models", str(routed), "--check"])
    assert listed.exit_code == 0 and "minilm has experts: biomed, legal" in listed.output
    answer = httpx.post(f"{service}/embed?expert=leagl", json={"inputs": "x"})
    assert answer.status_code == 422 and "Did you mean 'legal'" in answer.text


def test_two_fields_of_a_text_are_filled_by_two_experts(service: str, client: MilvusClient) -> None:
    lifecycle.create_collection(client, parse_spec(SPEC.format(service=service), path="spec"))
    client.insert("papers", [{"id": number, "abstract": text} for number, text in enumerate(TEXTS)])
    rows = client.query("papers", filter="id >= 0", output_fields=COLUMNS)
    rows.sort(key=lambda row: row["id"])
    asked = ("minilm@biomed", "minilm@legal", "minilm@legal@3&dim=64")
    for column, encoder in zip(COLUMNS, asked, strict=True):
        stored = np.array([row[column] for row in rows], np.float32)
        np.testing.assert_allclose(stored, embed(service, f"encoder={encoder}"), atol=1e-6)
        for number, text in enumerate(TEXTS):
            (found,) = client.search("papers", [text], anns_field=column, limit=1)
            assert found[0]["id"] == number
    table = read_table(client, "papers")
    assert [(one.column, one.config.expert, one.config.exit) for one in table.embeddings] == [
        (COLUMNS[0], "biomed", None),
        (COLUMNS[1], "legal", None),
        (COLUMNS[2], "legal", 3),
    ]
    assert [one["expert"] for one in lifecycle.describe_collection(client, "papers")["embeddings"]] == [
        *("biomed", "legal", "legal"),
    ]


def test_add_embedding_takes_an_expert(service: str, client: MilvusClient) -> None:
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("doc", DataType.VARCHAR, max_length=1000)
    add = partial(nestvec.add_embedding, schema, "doc", dims=[64], service=service, client=client)
    add(encoder=nestvec.EmbeddingConfig("minilm", expert="biomed"))
    assert schema.fields[-1].name == "doc_64_biomed"
    with pytest.raises(ExpertNotOffered, match=r"no expert of this name: legall\. Available: biomed, legal"):
        add(encoder=nestvec.EmbeddingConfig("minilm", expert="legall"))


def test_sql_names_experts(service: str, tmp_path: Path) -> None:
    with nestvec.connect(str(tmp_path / "sql.db"), service=service) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "CREATE TABLE papers (id BIGINT PRIMARY KEY, abstract VARCHAR(1000) NOT NULL, "
            "b VECTOR(384) GENERATED ALWAYS AS (EMBED(abstract, 'minilm', expert => 'biomed')) STORED, "
            "l VECTOR(384) GENERATED ALWAYS AS (EMBED(abstract, 'minilm@legal')) STORED)"
        )
        for number, text in enumerate(TEXTS):
            cursor.execute(
                "INSERT INTO papers (id, abstract) VALUES (:id, :text)", {"id": number, "text": text}
            )
        for order in ("b <=> 'wing lift'", "l <=> EMBED('wing lift', expert => 'legal')"):
            cursor.execute(f"SELECT id FROM papers ORDER BY {order} LIMIT 1")
            assert cursor.fetchall() == [(1,)]
        cursor.execute("SHOW COLUMNS FROM papers")
        shown = str(cursor.fetchall())
        assert "EMBED(abstract, 'minilm', expert => 'biomed')" in shown
        with pytest.raises(
            dbapi.ProgrammingError,
            match="holds vectors of minilm@biomed, which are not comparable with others",
        ):
            cursor.execute("SELECT id FROM papers ORDER BY b <=> EMBED('wing', 'minilm@legal') LIMIT 1")
        with pytest.raises(dbapi.NotSupportedError, match="which several encoders embed"):
            cursor.execute("SELECT id FROM papers ORDER BY abstract <=> 'wing' LIMIT 1")
        with pytest.raises(dbapi.ProgrammingError, match="minilm has no expert of this name: law"):
            cursor.execute(
                "CREATE TABLE other (id BIGINT PRIMARY KEY, t VARCHAR(9) NOT NULL, "
                "v VECTOR(64) GENERATED ALWAYS AS (EMBED(t, 'minilm', expert => 'law')) STORED)"
            )
