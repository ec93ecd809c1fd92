"""The real SPLADE-tiny: exported, served, stored in Milvus Lite by ingest and SQL, searched."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from integration_tests.fixtures.services import Serve
from pymilvus import DataType, MilvusClient
from sentence_transformers import SparseEncoder

import nestvec
from nestvec.client.service_client import EMPTY_WEIGHTS
from nestvec.collections import lifecycle
from nestvec.ingest import IngestOptions, ingest
from nestvec.milvus.catalog import read_table
from nestvec.milvus.connection import open_milvus
from nestvec_exporters import ExportOptions, export
from nestvec_exporters.options import Overrides
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import Precision
from nestvec_schemas.samples.docstrings import sample_texts
from nestvec_schemas.spec.yaml_file import parse_spec

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
  id: {{type: INT64, primary: true}}
  body: {{type: VARCHAR, max_length: 8192}}
embeddings:
  - {{field: body, encoder: splade, form: sparse}}
lexical:
  - {{field: body}}
"""


@pytest.fixture(scope="module")
def service(words: Path, serve: Serve) -> str:
    return serve(words)


@pytest.fixture(scope="module")
def reference(splade_checkpoint: Path) -> SparseEncoder:
    return SparseEncoder(str(splade_checkpoint), device="cpu")


def own(reference: SparseEncoder, texts: list[str]) -> Any:
    found = reference.encode(texts, batch_size=1, convert_to_sparse_tensor=False)
    return torch.stack(list(found)).numpy()


def test_the_service_gives_the_checkpoints_weights(service: str, reference: SparseEncoder) -> None:
    texts = list(sample_texts(40))
    answer = httpx.post(f"{service}/embed_sparse", json={"inputs": texts, "truncate": True}, timeout=120)
    expected = own(reference, texts)
    for row, weights in zip(answer.json(), expected, strict=True):
        found = np.zeros_like(weights)
        found[[one["index"] for one in row]] = [one["value"] for one in row]
        np.testing.assert_allclose(found, weights, atol=2e-4)
        assert found @ weights / np.linalg.norm(found) / np.linalg.norm(weights) > 0.9999
        assert 0 < len(row) < 1000


def test_words_have_names(service: str) -> None:
    body = {"inputs": "heat transfer in shock waves"}
    (row,) = httpx.post(f"{service}/embed_sparse?words=true&top=4", json=body).json()
    assert {one["word"] for one in row} == {"shock", "heat", "transfer", "waves"}


@pytest.mark.parametrize(("precision", "least"), [("fp16", 0.999), ("int8-dynamic", 0.98)])
def test_lower_precisions(
    splade_checkpoint: Path, tmp_path: Path, precision: Precision, least: float
) -> None:
    given = Overrides(pooling="splade")
    options = ExportOptions(
        str(splade_checkpoint),
        tmp_path,
        "splade",
        precision=precision,
        overrides=given,
        ignore=("heads.pt",),
    )
    manifest = export(options)
    assert manifest.verification.cosine_min > least
    assert (manifest.kind, manifest.dim) == ("sparse", 30_522)


def test_the_checkpoint_alone_does_not_say_that_it_is_sparse(splade_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointUnsupported, match=r"BertForMaskedLM\. Give --pooling splade"):
        export(ExportOptions(str(splade_checkpoint), tmp_path, "splade", ignore=("heads.pt",)))


def test_ingest_fills_a_spec_s_column(tmp_path: Path, service: str, reference: SparseEncoder) -> None:
    """Also after Milvus Lite was closed, which keeps no field's description."""
    path, file = str(tmp_path / "papers.db"), tmp_path / "papers.jsonl"
    file.write_text("".join(json.dumps({"id": n, "body": text}) + "\n" for n, text in enumerate(TEXTS)))
    with open_milvus(path) as client:
        lifecycle.create_collection(client, parse_spec(SPEC.format(service=service), path="x"))
    with open_milvus(path) as client:
        table = read_table(client, "papers")
        assert [(one.column, one.config.form) for one in table.embeddings] == [("body_sparse", "sparse")]
        assert ingest(client, table, file, IngestOptions("here")).inserted == 4
        client.load_collection("papers")
        rows = client.query("papers", filter="id >= 0", output_fields=["body_sparse"])
        for row, weights in zip(rows, own(reference, TEXTS), strict=True):
            stored = np.zeros_like(weights)
            stored[list(row["body_sparse"])] = list(row["body_sparse"].values())
            np.testing.assert_allclose(stored, weights, atol=2e-4)
        query = own(reference, ["hot gases"])[0]
        asked = {int(at): float(query[at]) for at in np.flatnonzero(query > 0)}
        (hits,) = client.search("papers", data=[asked], anns_field="body_sparse", limit=4)
        products = own(reference, TEXTS) @ query
        assert [hit["id"] for hit in hits] == [n for n in np.argsort(-products) if products[n] > 0]
        assert [hit["distance"] for hit in hits] == pytest.approx(
            sorted((one for one in products if one > 0), reverse=True), abs=1e-2
        )


def test_pymilvus_own_schema_says_it_too(tmp_path: Path, service: str) -> None:
    with open_milvus(str(tmp_path / "papers.db")) as client:
        schema = MilvusClient.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("body", DataType.VARCHAR, max_length=8192)
        nestvec.add_embedding(
            schema,
            "body",
            encoder=nestvec.EmbeddingConfig("splade", form="sparse"),
            service=service,
            client=client,
        )
        client.create_collection(
            "papers",
            schema=schema,
            index_params=nestvec.index_params(schema),
            properties=nestvec.field_notes(schema),
        )
        (one,) = read_table(client, "papers").embeddings
        assert (one.column, one.source, one.config.encoder) == ("body_sparse", "body", "splade")


@pytest.fixture
def cursor(tmp_path: Path, service: str) -> Iterator[Any]:
    """A table with the sparse column, BM25 beside it, and four texts."""
    with nestvec.connect(str(tmp_path / "papers.db"), service=service) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "CREATE TABLE papers (id BIGINT PRIMARY KEY, body TEXT, "
            "lex SPARSEVEC GENERATED ALWAYS AS (EMBED(body, 'splade')) STORED, "
            "words SPARSEVEC GENERATED ALWAYS AS (BM25(body)) STORED)"
        )
        rows = [{"id": n, "body": text} for n, text in enumerate(TEXTS)]
        cursor.executemany("INSERT INTO papers (id, body) VALUES (:id, :body)", rows)
        yield cursor


def ids(cursor: Any, order: str) -> list[int]:
    cursor.execute(f"SELECT id FROM papers ORDER BY {order} LIMIT 3")
    return [row[0] for row in cursor.fetchall()]


def test_words_that_are_not_there_find_what_they_are_about(cursor: Any) -> None:
    """No word of the query is in the text: BM25 finds nothing, expansion does."""
    assert ids(cursor, "words <@> 'hot gases'") == []
    assert ids(cursor, "lex <#> 'hot gases'")[0] == 0
    assert ids(cursor, "body <#> 'hot gases'")[0] == 0
    assert ids(cursor, "RRF(lex <#> 'baking bread', words <@> 'bread') DESC")[0] == 2
    assert (
        ids(cursor, "WEIGHTED(lex <#> 'airplane wings', words <@> 'wing', weights => ARRAY[0.7, 0.3]) DESC")[
            0
        ]
        == 1
    )


def test_updates_copies_and_texts_without_words(cursor: Any, tmp_path: Path) -> None:
    cursor.execute("UPDATE papers SET body = 'Kittens play with yarn.' WHERE id = 3")
    assert ids(cursor, "lex <#> 'cat'")[0] == 3
    (tmp_path / "more.csv").write_text("id,body\n10,Puppies chase a ball.\n")
    cursor.execute(f"COPY papers FROM '{tmp_path / 'more.csv'}'")
    assert ids(cursor, "lex <#> 'dog'")[0] == 10
    assert 0 < EMPTY_WEIGHTS[0] < 1e-20


def test_the_largest_weights_alone_by_spec_and_by_sql(
    cursor: Any, tmp_path: Path, service: str, reference: SparseEncoder
) -> None:
    cursor.execute(
        "CREATE TABLE few (id BIGINT PRIMARY KEY, body TEXT, "
        "lex SPARSEVEC GENERATED ALWAYS AS (EMBED(body, 'splade', top => 8)) STORED)"
    )
    cursor.execute(f"INSERT INTO few VALUES (0, '{TEXTS[0]}')")
    cursor.execute("DESCRIBE few")
    assert "EMBED(body, 'splade', top => 8)" in [row[5] for row in cursor.fetchall()]
    spec = SPEC.replace("form: sparse", "form: sparse, top: 8").format(service=service)
    weights = own(reference, TEXTS[:1])[0]
    largest = set(np.argsort(-weights)[:8].tolist())
    with open_milvus(str(tmp_path / "few.db")) as client:
        lifecycle.create_collection(client, parse_spec(spec, path="x"))
        (tmp_path / "few.jsonl").write_text(json.dumps({"id": 0, "body": TEXTS[0]}))
        ingest(client, read_table(client, "papers"), tmp_path / "few.jsonl", IngestOptions("here"))
        client.load_collection("papers")
        (row,) = client.query("papers", filter="id >= 0", output_fields=["body_sparse_top8"])
    with open_milvus(str(tmp_path / "papers.db")) as client:
        (other,) = client.query("few", filter="id >= 0", output_fields=["lex"])
    for stored in (row["body_sparse_top8"], other["lex"]):
        assert set(stored) == largest
        assert stored == pytest.approx({at: float(weights[at]) for at in largest}, abs=2e-4)
    cursor.execute("SELECT id FROM few ORDER BY lex <#> 'hot gases' LIMIT 1")
    assert cursor.fetchone() == (0,)


def test_explain_names_the_words(cursor: Any) -> None:
    cursor.execute("EXPLAIN ANALYZE SELECT id FROM papers WHERE id < 3 ORDER BY lex <#> 'hot shocks' LIMIT 2")
    text = "\n".join(row[0] for row in cursor.fetchall())
    assert "index: SPARSE_INVERTED_INDEX, IP" in text
    assert {"hot", "shock"} <= set(
        re.findall(r"(\w+) \d\.\d\d", text.partition("words: ")[2].partition("\n")[0])
    )
    assert "matched: id 0: " in text
    cursor.execute("EXPLAIN (FORMAT JSON) SELECT id FROM papers ORDER BY lex <#> 'hot shocks' LIMIT 2")
    (search,) = json.loads(cursor.fetchone()[0])["inputs"]
    assert "shock" in search["words"]
    assert "matched" not in search
