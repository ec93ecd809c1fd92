"""Rows whose encoder is replaced while they are written, by a Milvus that does not compare encoders."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pymilvus import DataType, Function, FunctionType, MilvusClient

from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import embed
from nestvec.collections.adopt import adopt_fields
from nestvec.engines.fake import FakeEngine
from nestvec.ingest import IngestOptions, ingest
from nestvec.milvus.catalog import read_table
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import ServiceRefused


@contextmanager
def serving(models: Path, port: int = 0) -> Iterator[str]:
    embedder = Embedder(open_encoders(models), FakeEngine({"tiny": 16}), ServiceSettings())
    with serve_in_thread(embedder, bind("127.0.0.1", port)) as address:
        yield address


def create_unrecorded(client: MilvusClient, service: str) -> None:
    """A collection whose Function does not name a fingerprint; Milvus Lite does not alter it."""
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=100)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=16)
    params = {"provider": "openai", "base_url": f"{service}/v1", "model_name": "tiny", "dimensions": 16}
    function = Function("f", FunctionType.TEXTEMBEDDING, ["text"], ["v"], params={**params, "api_key": "x"})
    schema.add_function(function)
    indexes = MilvusClient.prepare_index_params()
    indexes.add_index("v", index_type="AUTOINDEX", metric_type="COSINE")
    client.create_collection("papers", schema=schema, index_params=indexes)


def test_a_batch_by_another_encoder_is_written_again(write_into: Callable[..., Path], tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    write_into(old)
    write_into(new, prompts={"": "w900 "}, default_prompt="")
    path, texts = tmp_path / "rows.jsonl", [f"w{number}" for number in range(1, 10)]
    path.write_text("".join(json.dumps({"id": place, "text": t}) + "\n" for place, t in enumerate(texts)))
    client = MilvusClient(str(tmp_path / "papers.db"))

    with serving(old) as address:
        create_unrecorded(client, address)
        adopt_fields(client, read_table(client, "papers"))
        table = read_table(client, "papers")
        assert not table.embeddings[0].is_guarded
    port = urlsplit(address).port or 0
    with serving(new, port), pytest.raises(ServiceRefused, match="has another encoder 'tiny'"):
        ingest(client, table, path, IngestOptions("memory", batch=3))
    with serving(old, port):
        ingest(client, table, path, IngestOptions("memory", batch=3))
        rows = client.query("papers", filter="id >= 0", output_fields=["*"])
        assert len(rows) == len(texts)
        request = EmbeddingRequest(address, EmbeddingConfig("tiny", 16), has_role=False)
        made = embed(request, [row["text"] for row in rows])
        for row, vector in zip(rows, made, strict=True):
            assert row["v"] == pytest.approx(vector, abs=1e-6)
    client.close()
