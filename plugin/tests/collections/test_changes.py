"""What Milvus can change of a collection that exists, for a spec that differs from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nestvec.collections.changes import exists_error
from nestvec.milvus.catalog import Column, EmbeddingColumn, Table
from nestvec.milvus.providers import Endpoint
from nestvec.milvus.server_version import parse_version
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.spec.collection_spec import CollectionSpec
from nestvec_schemas.spec.yaml_file import parse_spec

SPEC = """
collection: papers
service: http://new:8080
fields:
  id: {type: INT64, primary: true}
  abstract: {type: VARCHAR, max_length: 8192}
embeddings:
  - {field: abstract, encoder: minilm, dims: [64]}
"""
RECORDED = EmbeddingConfig("minilm", 64, fingerprint="0123456789abcdef")
DROP = r"drop it \(nestvec collection drop papers\), or give the spec another name\.$"


def spec(others: str = "") -> CollectionSpec:
    return parse_spec(SPEC + others, path="x")


def table(service: str = "http://new:8080", config: EmbeddingConfig = RECORDED, chunk: int = 64) -> Table:
    endpoint = Endpoint("tei", service, config, chunk)
    return Table("papers", (Column("id", "INT64"),), (EmbeddingColumn("abstract", "abstract_64", endpoint),))


def message(existing: Table, wanted: CollectionSpec, version: str) -> str:
    return str(exists_error(existing, wanted, parse_version(version)))


@pytest.mark.parametrize("version", ["v2.6.4", "v2.6.11", "3.0.0", "milvus_lite-3.2.2"])
def test_the_same_collection_is_only_there(version: str) -> None:
    text = message(table(), spec(), version)
    assert text.startswith("a collection of this name already exists: papers. Drop it (nestvec collection")


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        (
            "v2.6.4",
            "Milvus before 2.6.8 does not alter a Function: let the service answer at its old address",
        ),
        ("milvus_lite-3.2.2", "Milvus Lite does not alter a Function: let the service answer at its old"),
        ("v2.6.8", "alters a Function's endpoint: nestvec collection move does"),
        ("v2.6.19", "alters a Function's endpoint: nestvec collection move does"),
        ("3.0.0", "alters the chunk, the credential and timeout_ms of a Function, but no endpoint"),
    ],
)
def test_a_service_that_moved(version: str, advice: str) -> None:
    text = message(table("http://old:8080"), spec(), version)
    assert "abstract_64 is embedded by http://old:8080, not by http://new:8080" in text
    assert advice in text
    assert text.endswith("Otherwise drop it (nestvec collection drop papers), or give the spec another name.")


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        ("v2.6.4", "Milvus before 2.6.8 does not alter a Function. Otherwise drop it"),
        ("milvus_lite-3.2.2", "Milvus Lite does not alter a Function. Otherwise drop it"),
        ("v2.6.11", "endpoint and chunk"),
        ("3.0.0", "Milvus 3.0 alters the chunk: MilvusClient.alter"),
    ],
)
def test_another_chunk(version: str, advice: str) -> None:
    text = message(table(), spec("chunk: 128\n"), version)
    assert "abstract_64 has a chunk of 64, not 128" in text
    assert advice in text
    assert "the spec differs" not in message(table(), spec("chunk: 64\n"), version)


@pytest.mark.parametrize(
    ("existing", "difference"),
    [
        (table(config=replace(RECORDED, encoder="bge")), r"abstract_64 is embedded otherwise \(bge\)"),
        (table(config=replace(RECORDED, expert="legal")), r"embedded otherwise \(minilm@legal\)"),
        (
            replace(table(), embeddings=(replace(table().embeddings[0], source="title"),)),
            "abstract_64 is embedded from title, not from abstract",
        ),
        (replace(table(), embeddings=()), "there is no field abstract_64 that a service fills"),
    ],
)
@pytest.mark.parametrize("version", ["v2.6.4", "v2.6.19", "3.0.0", "milvus_lite-3.2.2", "master-1a2b"])
def test_other_vectors_are_written_anew(existing: Table, difference: str, version: str) -> None:
    error = exists_error(existing, spec(), parse_version(version))
    with pytest.raises(type(error), match=rf"{difference}.*rows must be written anew.*{DROP}"):
        raise error


def test_the_deepest_exit_is_recorded_as_none() -> None:
    deepest = spec().model_copy(
        update={"embeddings": tuple(one.model_copy(update={"exit": 6}) for one in spec().embeddings)}
    )
    existing = replace(
        table(),
        embeddings=(
            EmbeddingColumn("abstract", "abstract_64_exit6", Endpoint("tei", "http://new:8080", RECORDED)),
        ),
    )
    assert "the spec differs" not in message(existing, deepest, "v2.6.19")
