"""Nested fields registered in pymilvus's idiom, on a real Milvus Lite with the real encoder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy
from pymilvus import DataType, MilvusClient
from sentence_transformers import SentenceTransformer

import nestvec
from nestvec.milvus.catalog import read_table
from nestvec.milvus.connection import open_milvus
from nestvec.milvus.lite import load_lite
from nestvec.milvus.providers import Endpoint
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import CollectionNotFound, DimNotOffered
from nestvec_schemas.vectors import cosines, nest

TEXTS = [
    "The flow of heat behind a shock wave in a gas.",
    "A method to estimate the lift of a slender wing at high speed.",
    "Bread rises because yeast gives off carbon dioxide.",
    "The committee adjourned the hearing until next week.",
]


def create(client: MilvusClient, service: str) -> None:
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("abstract", DataType.VARCHAR, max_length=8192)
    nestvec.add_embedding(schema, "abstract", encoder="minilm", dims=[64, 384], service=service)
    client.create_collection("papers", schema=schema, index_params=nestvec.index_params(schema))
    client.insert("papers", [{"id": number, "abstract": text} for number, text in enumerate(TEXTS)])


@pytest.mark.parametrize("field", ["abstract_64", "abstract_384"])
def test_text_is_searched_by_text(client: MilvusClient, service: str, field: str) -> None:
    create(client, service)
    (hits,) = client.search("papers", data=["heat flow in shock waves"], anns_field=field, limit=2)
    assert hits[0]["id"] == 0
    assert hits[0]["distance"] > 0.6 > hits[1]["distance"]


def test_the_stored_vectors_are_the_checkpoints_own(
    client: MilvusClient, service: str, minilm_checkpoint: Path
) -> None:
    create(client, service)
    rows = client.query("papers", filter="id >= 0", output_fields=["id", "abstract_64", "abstract_384"])
    own = SentenceTransformer(str(minilm_checkpoint), device="cpu").encode(TEXTS)
    for dim in (64, 384):
        stored = np.array([row[f"abstract_{dim}"] for row in sorted(rows, key=lambda row: row["id"])])
        assert cosines(stored, nest(own, dim)).min() > 0.99999
        assert np.allclose(np.linalg.norm(stored, axis=1), 1, atol=1e-5)


def test_the_readmes_collection_is_found_by_pymilvus_by_sql_and_by_sqlalchemy(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    creates = re.findall(r"```python\n(.*?)```", readme, re.S)[0]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(creates.replace("http://127.0.0.1:8080", service), names)
    assert isinstance(names["client"], MilvusClient)
    with open_milvus("papers.db") as opened:
        load_lite(opened, "papers")
        (hits,) = opened.search("papers", data=["shock"], anns_field="abstract_384", limit=5)
        assert [hit["id"] for hit in hits] == [1]
    with nestvec.connect("papers.db") as connection:
        question = "SELECT id, abstract FROM papers ORDER BY abstract <=> :q LIMIT 5"
        rows = connection.execute(question, {"q": "shock waves"}).fetchall()
        assert rows == [(1, "The flow of heat behind a shock wave in a gas.")]
    with sqlalchemy.create_engine("nestvec:///papers.db").connect() as through_sqlalchemy:
        assert through_sqlalchemy.execute(sqlalchemy.text("SELECT id FROM papers")).scalar_one() == 1


def test_a_collection_is_read_back(client: MilvusClient, service: str) -> None:
    create(client, service)
    table = read_table(client, "papers")
    assert [column.name for column in table.columns] == ["id", "abstract", "abstract_64", "abstract_384"]
    assert table.primary.name == "id"
    assert table.services == (service,)
    short = table.embedding("abstract_64")
    assert short is not None
    assert (short.source, short.endpoint) == (
        "abstract",
        Endpoint("openai", service, EmbeddingConfig("minilm", 64)),
    )
    assert table.metrics == {"abstract_64": "COSINE", "abstract_384": "COSINE"}
    with pytest.raises(CollectionNotFound, match=r"papes\. Available: papers\. Did you mean 'papers'\?"):
        read_table(client, "papes")


def test_a_reopened_database_embeds_as_before(tmp_path: Path, service: str) -> None:
    path = str(tmp_path / "again.db")
    with open_milvus(path) as client:
        create(client, service)
    with open_milvus(path) as client:
        client.load_collection("papers")
        client.insert("papers", [{"id": 9, "abstract": "Shock tubes and the heat in them."}])
        (hits,) = client.search("papers", data=["shock tube"], anns_field="abstract_64", limit=1)
        assert hits[0]["id"] == 9


def test_a_dim_that_is_not_offered_fails_before_anything_is_created(
    client: MilvusClient, service: str
) -> None:
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("abstract", DataType.VARCHAR, max_length=8192)
    with pytest.raises(DimNotOffered, match=r"many dims: 100\. Available: 384, 256, 128, 64, 32"):
        nestvec.add_embedding(schema, "abstract", encoder="minilm", dims=[100], service=service)
