"""Collections from a spec: what reaches Milvus, and that nothing stays behind a failure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymilvus import DataType, MilvusException

from nestvec.collections import lifecycle
from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import CollectionExists, ExpertNotOffered, SpecError, StoreRefused
from nestvec_schemas.spec.collection_spec import CollectionSpec
from nestvec_schemas.spec.yaml_file import parse_spec

SPEC = """
collection: papers
description: read
service: {service}
dynamic: true
fields:
  id:       {{type: INT64, primary: true, auto_id: true}}
  abstract: {{type: VARCHAR, max_length: 8192}}
  year:     {{type: INT32, nullable: true, default: 2000}}
  tenant:   {{type: VARCHAR, max_length: 64, partition_key: true}}
  tags:     {{type: ARRAY, element_type: VARCHAR, max_length: 9, max_capacity: 4}}
embeddings:
  - {{field: abstract, encoder: tiny, dims: [4]}}
  - {{field: abstract, encoder: tiny, dims: [16], index: HNSW, metric: IP, params: {{M: 16}}}}
"""


class Refusing:
    """A Milvus Lite that takes a collection and refuses to index it."""

    def __init__(self, there: bool = False) -> None:
        self.there, self.calls = there, list[str]()
        self.schema: Any = None
        self.indexes: Any = None

    def get_server_version(self) -> str:
        return "milvus_lite-3"

    def has_collection(self, name: str) -> bool:
        return self.there

    def describe_collection(self, name: str) -> dict[str, Any]:
        return {"collection_name": name, "fields": []}

    def list_indexes(self, name: str) -> list[str]:
        return []

    def create_collection(self, name: str, schema: Any, properties: dict[str, str]) -> None:
        self.calls.append("create")
        self.schema = schema

    def create_index(self, name: str, indexes: Any) -> None:
        self.calls.append("index")
        self.indexes = indexes
        raise MilvusException(message="no memory for an index")

    def drop_collection(self, name: str) -> None:
        self.calls.append("drop")


@pytest.fixture
def spec(service: str) -> CollectionSpec:
    return parse_spec(SPEC.format(service=service), path="x")


def test_a_collection_that_is_there_stays_as_it_is(spec: CollectionSpec) -> None:
    client: Any = Refusing(there=True)
    with pytest.raises(CollectionExists, match=r"papers.*nestvec collection drop papers"):
        lifecycle.create_collection(client, spec)
    assert client.calls == []


def test_what_was_made_is_dropped_where_a_later_step_fails(spec: CollectionSpec) -> None:
    client: Any = Refusing()
    with pytest.raises(StoreRefused, match="creating collection papers: no memory for an index"):
        lifecycle.create_collection(client, spec)
    assert client.calls == ["create", "index", "drop"]


def test_every_part_of_the_spec_reaches_milvus(spec: CollectionSpec) -> None:
    client: Any = Refusing()
    with pytest.raises(StoreRefused):
        lifecycle.create_collection(client, spec)
    made = {one["name"]: one for one in client.schema.to_dict()["fields"]}
    assert client.schema.enable_dynamic_field is True
    assert client.schema.description == "read"
    assert made["id"]["is_primary"] and made["id"]["auto_id"]
    assert made["abstract"]["params"] == {"max_length": 8192}
    assert made["year"]["nullable"] and "2000" in str(made["year"]["default_value"])
    assert made["tenant"]["is_partition_key"]
    assert made["tags"]["element_type"] == DataType.VARCHAR
    assert made["tags"]["params"] == {"max_length": 9, "max_capacity": 4}
    assert made["abstract_16"]["params"] == {"dim": 16}
    indexes = {one.field_name: one.to_dict() for one in client.indexes}
    assert indexes["abstract_4"]["index_type"] == "AUTOINDEX"
    assert indexes["abstract_4"]["metric_type"] == "COSINE"
    assert indexes["abstract_16"]["index_type"] == "HNSW"
    assert indexes["abstract_16"]["metric_type"] == "IP"


OTHERS = """
  - {{field: abstract, encoder: tiny, dims: [8], name: short}}
lexical:
  - {{field: abstract, name: words, k1: 1.5}}
vectors:
  - {{name: photo, dim: 5, index: HNSW, metric: L2, params: {{M: 8}}}}
max_vector_fields: 5
"""


def test_words_vectors_and_names_of_ones_own_reach_milvus(service: str) -> None:
    client: Any = Refusing()
    with pytest.raises(StoreRefused):
        lifecycle.create_collection(
            client, parse_spec((SPEC.rstrip() + OTHERS).format(service=service), path="x")
        )
    made = {one["name"]: one for one in client.schema.to_dict()["fields"]}
    assert made["abstract"]["params"] == {"max_length": 8192, "enable_analyzer": True, "enable_match": True}
    assert made["words"]["type"] == DataType.SPARSE_FLOAT_VECTOR
    assert (made["photo"]["params"], made["short"]["params"]) == ({"dim": 5}, {"dim": 8})
    functions = {one.output_field_names[0]: one.input_field_names[0] for one in client.schema.functions}
    assert functions["words"] == functions["short"] == "abstract"
    indexes = {one.field_name: one.to_dict() for one in client.indexes}
    assert len(indexes) == len(client.indexes) == 5
    assert (indexes["words"]["index_type"], indexes["words"]["metric_type"]) == (
        "SPARSE_INVERTED_INDEX",
        "BM25",
    )
    assert (indexes["photo"]["index_type"], indexes["photo"]["metric_type"]) == ("HNSW", "L2")
    assert indexes["short"]["metric_type"] == "COSINE"


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        (
            "encoder: cross, dims: [16]",
            SpecError,
            "cross is a reranker encoder, which has no vectors",
        ),
        (
            "encoder: tiny, dims: [16], expert: bimed",
            ExpertNotOffered,
            r"no expert of this name: bimed\. Available: biomed, legal\..*Did you mean 'biomed'\?",
        ),
    ],
)
def test_an_encoder_that_cannot_do_it_is_told_before_anything_is_made(
    write_encoder: Callable[..., Path], keys: str, error: type[Exception], message: str
) -> None:
    write_encoder(experts={"biomed": "tests/a", "legal": "tests/b"})
    models = write_encoder("cross", kind="reranker", dims=(16,), layers=(4,)).parent
    embedder = Embedder(open_encoders(models), FakeEngine({"tiny": 16, "cross": 16}), ServiceSettings())
    client: Any = Refusing()
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        text = SPEC.format(service=service) + f"  - {{field: abstract, {keys}, name: more}}\n"
        with pytest.raises(error, match=message):
            lifecycle.create_collection(client, parse_spec(text, path="spec"))
    assert client.calls == []
