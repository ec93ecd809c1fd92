"""The encoder of fields that do not say it, by what the service makes of sampled rows again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient

from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import embed_vectors, fetch_info
from nestvec.collections.adopt import adopt_fields
from nestvec.engines.fake import FakeEngine
from nestvec.ingest.embed_columns import embed_columns
from nestvec.milvus.catalog import Column, EmbeddingColumn, Table, read_table
from nestvec.milvus.providers import Endpoint
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.binary_codes import sign_bits
from nestvec_schemas.embedding_config import EmbeddingConfig, Form
from nestvec_schemas.errors import ServiceRefused, SpecError, StoreRefused
from nestvec_schemas.vectors import to_int8


@pytest.fixture
def both(write_encoder: Callable[..., Path]) -> Iterator[str]:
    """A service with a dense encoder, ``tiny``, and a sparse one, ``words``."""
    models = write_encoder().parent
    write_encoder("words", kind="sparse", dims=(16,), layers=(4,))
    embedder = Embedder(open_encoders(models), FakeEngine({"tiny": 16, "words": 16}), ServiceSettings())
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        yield address


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[MilvusClient]:
    client = MilvusClient(str(tmp_path / "papers.db"))
    yield client
    client.close()


def create_papers(lite: MilvusClient, service: str, key: DataType) -> Table:
    """A collection with a sparse field whose encoder is not recorded."""
    schema = MilvusClient.create_schema()
    schema.add_field("id", key, is_primary=True, max_length=64)
    schema.add_field("body", DataType.VARCHAR, max_length=512)
    schema.add_field("v", DataType.SPARSE_FLOAT_VECTOR)
    indexes = MilvusClient.prepare_index_params()
    indexes.add_index("v", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    note = f"nestvec: {service}?encoder=words&source=body"
    lite.create_collection(
        "papers", schema=schema, index_params=indexes, properties={"nestvec.embed.v": note}
    )
    return read_table(lite, "papers")


def test_keys_that_a_filter_must_escape(both: str, lite: MilvusClient) -> None:
    table = create_papers(lite, both, DataType.VARCHAR)
    keys = ["it's", 'a "quoted" key', "back\\slash", "new\nline", "100%"]
    rows = [{"id": key, "body": f"w{number + 1} w{number + 2}"} for number, key in enumerate(keys)]
    lite.insert("papers", embed_columns(table, rows))
    (adoption,) = adopt_fields(lite, table)
    assert adoption.rows == len(keys)


def test_a_sparse_field_of_milvus_lite(both: str, lite: MilvusClient) -> None:
    table = create_papers(lite, both, DataType.INT64)
    texts = [f"w{number} w{number + 1} w{number * 3}" for number in range(1, 9)]
    rows = embed_columns(table, [{"id": number, "body": text} for number, text in enumerate(texts)])
    lite.insert("papers", rows)
    (adoption,) = adopt_fields(lite, table)
    assert (adoption.rows, adoption.guarded) == (8, True)
    assert adoption.agreement == pytest.approx(1.0)
    (column,) = read_table(lite, "papers").embeddings
    assert column.config.fingerprint == fetch_info(both).encoders["words"].fingerprint
    assert column.recorded is not None
    assert (column.recorded.encoder, column.recorded.precision) == ("words", "fp32")
    assert not adopt_fields(lite, read_table(lite, "papers"))
    lite.insert("papers", [{"id": 99, "body": "w1 w2", "v": {3: 1.0, 7: 0.5}}])
    with pytest.raises(StoreRefused, match="1 of 9 sampled rows differ, row 99 most"):
        adopt_fields(lite, read_table(lite, "papers"), ["v"])


class Server:
    """A server of 3.0 with rows that Milvus describes as it does for each type of vector."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows, self.properties = {row["id"]: row for row in rows}, dict[str, str]()

    def get_server_version(self) -> str:
        return "v3.0.0"

    def get_load_state(self, name: str) -> dict[str, Any]:
        return {"state": "Loaded"}

    def query_iterator(self, name: str, batch_size: int, output_fields: list[str]) -> Any:
        batches = [[{"id": key} for key in self.rows], []]

        class Pages:
            def next(self) -> list[dict[str, Any]]:
                return batches.pop(0)

            def close(self) -> None: ...

        return Pages()

    def query(self, name: str, filter: str, output_fields: list[str]) -> list[dict[str, Any]]:
        return [self.rows[key] for key in json.loads(filter.removeprefix("id in "))]

    def alter_collection_properties(self, name: str, properties: dict[str, str]) -> None:
        self.properties |= properties


def table_of(service: str, form: Form, pinned: str | None = None) -> Table:
    endpoint = Endpoint(
        "nestvec" if form == "binary" else "tei", service, EmbeddingConfig("tiny", 16, form=form)
    )
    column = EmbeddingColumn("body", "v", endpoint, pinned=pinned)
    return Table("papers", (Column("id", "INT64", primary=True),), (column,))


def stored(form: Form, vector: Any) -> Any:
    vector = np.asarray(vector, np.float32).reshape(1, -1)
    if form == "int8":
        return [to_int8(vector)[0].tobytes()]
    if form == "binary":
        return [sign_bits(vector)[0].tobytes()]
    return vector[0].tolist()


@pytest.mark.parametrize("form", ["float", "int8", "binary"])
def test_each_form_by_its_own_measure(both: str, form: Form) -> None:
    texts = [f"w{number} w{number * 2}" for number in range(1, 31)]
    vectors = embed_vectors(EmbeddingRequest(both, EmbeddingConfig("tiny", 16)), texts)
    rows = [
        {"id": number, "body": text, "v": stored(form, vector)}
        for number, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    ]
    # An empty text has zeros, which say nothing.
    rows.append({"id": 99, "body": "", "v": stored(form, np.zeros(16))})
    server: Any = Server(rows)
    (adoption,) = adopt_fields(server, table_of(both, form))
    assert adoption.rows == 30
    assert adoption.measure == ("equal bits" if form == "binary" else "cosine")
    assert list(server.properties) == ["nestvec.fingerprint.v"]
    permuted: Any = Server(
        [{**row, "v": stored(form, vector[::-1])} for row, vector in zip(rows, vectors, strict=False)]
    )
    with pytest.raises(StoreRefused, match=f"sampled rows differ.*{adoption.measure}"):
        adopt_fields(permuted, table_of(both, form))
    assert not permuted.properties


def test_what_cannot_be_adopted(both: str) -> None:
    no_text: Any = Server([{"id": 1, "body": "", "v": [0.0] * 16}])
    with pytest.raises(StoreRefused, match="no sampled row of papers has a text"):
        adopt_fields(no_text, table_of(both, "float"))
    with pytest.raises(SpecError, match=r"no field of this name.*Available: v\."):
        adopt_fields(no_text, table_of(both, "float"), ["w"])
    with pytest.raises(ServiceRefused, match=f"another encoder 'tiny'.*that Milvus requests.*not {'0' * 16}"):
        adopt_fields(no_text, table_of(both, "float", pinned="0" * 16))
