"""What a server says of a collection, read back as columns and embeddings."""

from __future__ import annotations

from typing import Any

import pytest
from pymilvus import CollectionSchema, DataType, MilvusClient

import nestvec
from nestvec.collections import lifecycle
from nestvec.collections.lifecycle import describe_collection
from nestvec.milvus.catalog import ROW_ID, Column, EmbeddingColumn, Table, read_table
from nestvec.milvus.providers import Endpoint
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.spec.yaml_file import parse_spec


class Server:
    """A Milvus 2.6 that has one collection, described as pymilvus describes it."""

    def __init__(self, schema: CollectionSchema | None = None) -> None:
        self.schema, self.indexes = schema, dict[str, dict[str, Any]]()
        self.properties: dict[str, str] = {}

    def get_server_version(self) -> str:
        return "v2.6.11"

    def has_collection(self, name: str) -> bool:
        return self.schema is not None

    def create_collection(self, name: str, schema: CollectionSchema, properties: dict[str, str]) -> None:
        schema.verify()
        self.schema, self.properties = schema, properties

    def create_index(self, name: str, indexes: Any) -> None:
        self.indexes = {one.field_name: one.to_dict() for one in indexes}

    def load_collection(self, name: str) -> None: ...

    def get_load_state(self, name: str) -> dict[str, Any]:
        return {"state": type("State", (), {"name": "NotLoad"})}

    def describe_collection(self, name: str) -> dict[str, Any]:
        assert self.schema is not None
        told = self.schema.to_dict() | {"properties": self.properties}
        for one in told["fields"]:
            one.setdefault("params", {})
        for one in told.get("functions", []):
            # Milvus describes every value as a string.
            one["params"] = {key: str(value) for key, value in one["params"].items()}
        return told

    def list_indexes(self, name: str) -> list[str]:
        return list(self.indexes)

    def describe_index(self, name: str, index: str) -> dict[str, Any]:
        return self.indexes[index]


SPEC = """
collection: papers
service: {service}
fields:
  id:       {{type: INT64, primary: true}}
  abstract: {{type: VARCHAR, max_length: 8192}}
embeddings:
  - {{field: abstract, encoder: tiny, dims: [16]}}
  - {{field: abstract, encoder: tiny, dims: [8], exit: 2}}
  - {{field: abstract, encoder: tiny, dims: [16], exit: 2, form: int8}}
  - {{field: abstract, encoder: tiny, dims: [8], form: binary}}
"""


@pytest.fixture
def server(service: str) -> Any:
    made: Any = Server()
    lifecycle.create_collection(made, parse_spec(SPEC.format(service=service), path="x"))
    return made


def test_every_exit_and_form_is_read_back(server: Any, service: str) -> None:
    table = read_table(server, "papers")
    assert table.embeddings == (
        EmbeddingColumn("abstract", "abstract_16", Endpoint("tei", service, EmbeddingConfig("tiny", 16))),
        EmbeddingColumn(
            "abstract", "abstract_8_exit2", Endpoint("tei", service, EmbeddingConfig("tiny", 8, 2))
        ),
        EmbeddingColumn(
            "abstract",
            "abstract_16_exit2_int8",
            Endpoint("cohere", service, EmbeddingConfig("tiny", 16, 2, form="int8")),
        ),
        EmbeddingColumn(
            "abstract",
            "abstract_8_binary",
            Endpoint("nestvec", service, EmbeddingConfig("tiny", 8, form="binary")),
        ),
    )
    assert [embedding.config.exit for embedding in table.embeddings] == [None, 2, 2, None]
    assert table.services == (service,)
    assert table.metrics["abstract_8_binary"] == "HAMMING"
    assert table.metrics["abstract_16_exit2_int8"] == "COSINE"


def test_what_show_tells(server: Any) -> None:
    found = {one["column"]: one for one in describe_collection(server, "papers")["embeddings"]}
    told = {
        name: (one["exit"], one["form"], one["bytes_per_row"], one["index"]) for name, one in found.items()
    }
    assert told == {
        "abstract_16": (None, "float", 64, "AUTOINDEX"),
        "abstract_8_exit2": (2, "float", 32, "AUTOINDEX"),
        "abstract_16_exit2_int8": (2, "int8", 16, "AUTOINDEX"),
        "abstract_8_binary": (None, "binary", 1, "BIN_FLAT"),
    }


def test_floats_through_cohere_are_read_back_and_what_is_not_nestvecs_is_left_alone(service: str) -> None:
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("abstract", DataType.VARCHAR, max_length=99)
    schema.add_field("own", DataType.BINARY_VECTOR, dim=8, description="made by hand")
    schema.add_field("floats", DataType.FLOAT_VECTOR, dim=8, description=f"nestvec: {service}?encoder=tiny")
    nestvec.add_embedding(
        schema,
        "abstract",
        encoder="tiny",
        dims=[8],
        service=service,
        options=nestvec.EmbeddingOptions(provider="cohere"),
    )
    server: Any = Server(schema)
    endpoint = Endpoint("cohere", service, EmbeddingConfig("tiny", 8))
    assert read_table(server, "papers").embeddings == (EmbeddingColumn("abstract", "abstract_8", endpoint),)
    for function in schema.functions:
        function.params["provider"] = "bedrock"
    assert read_table(server, "papers").embeddings == ()


def test_defaults_and_what_columns_are_made_of(service: str) -> None:
    text = (
        SPEC.replace("8192}}", "8192}}\n  year: {{type: INT32, default: 7}}")
        + "lexical:\n  - {{field: abstract}}\n"
    )
    made: Any = Server()
    spec = parse_spec(text.format(service=service) + "max_vector_fields: 5\n", path="x")
    lifecycle.create_collection(made, spec)
    table = read_table(made, "papers")
    year = table.column("year")
    assert year is not None and (year.has_default, year.default) == (True, 7)
    assert table.indexes["abstract_bm25"] == "SPARSE_INVERTED_INDEX"
    assert table.generated == dict.fromkeys(
        ("abstract_16", "abstract_8_exit2", "abstract_16_exit2_int8", "abstract_8_binary", "abstract_bm25"),
        "abstract",
    )


@pytest.mark.parametrize("kept", [True, False])
def test_a_sparse_column_is_read_back_from_its_description_or_a_property(kept: bool) -> None:
    note = "nestvec: http://h:1?encoder=splade&dim=30522&top=64&source=abstract"
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("abstract", DataType.VARCHAR, max_length=99)
    schema.add_field("lex", DataType.SPARSE_FLOAT_VECTOR, description=note if kept else "")
    schema.add_field("own", DataType.SPARSE_FLOAT_VECTOR, description="made by hand")
    server: Any = Server(schema)
    told = server.describe_collection("papers")
    # Milvus Lite keeps no descriptions.
    told["properties"] = {} if kept else {"nestvec.embed.lex": note, "mmap.enabled": "true"}
    server.describe_collection = lambda name: told
    table = read_table(server, "papers")
    endpoint = Endpoint("nestvec", "http://h:1", EmbeddingConfig("splade", form="sparse", top=64))
    assert table.embeddings == (EmbeddingColumn("abstract", "lex", endpoint),)
    assert table.generated == {"lex": "abstract"}
    (shown,) = describe_collection(server, "papers")["embeddings"]
    assert (shown["dim"], shown["bytes_per_row"], shown["form"], shown["top"]) == (None, None, "sparse", 64)


def test_a_table_without_a_primary_key_has_a_hidden_one() -> None:
    keyless, keyed = Table("t", (Column("n", "INT64"),)), Table("t", (Column("n", "INT64", primary=True),))
    assert (keyless.has_row_id, keyless.primary, keyless.column(ROW_ID.name)) == (True, ROW_ID, ROW_ID)
    assert keyless.field_names == {"n", ROW_ID.name}
    assert (keyed.has_row_id, keyed.primary.name, keyed.column(ROW_ID.name)) == (False, "n", None)
