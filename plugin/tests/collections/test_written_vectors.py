"""Vectors that are made again are those that rows have, of encoders whose documents have a prompt too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient

import nestvec
from nestvec.collections.change.definition import Change, new_embedding
from nestvec.collections.change.run import plan_or_continue, run_change
from nestvec.collections.written_vectors import embed_as_written
from nestvec.engines.fake import FakeEngine
from nestvec.milvus.catalog import read_table
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings

TEXTS = [f"w{number} w{number + 1}" for number in range(1, 6)]


@pytest.fixture
def prompting(write_encoder: Callable[..., Path]) -> Iterator[str]:
    """A service whose encoder puts another prompt before documents than before queries."""
    models = write_encoder(prompts={"query": "w1 ", "document": "w900 w901 "}).parent
    embedder = Embedder(open_encoders(models), FakeEngine({"tiny": 16}), ServiceSettings())
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        yield address


def test_milvus_lite_fills_fields_without_the_prompt(prompting: str, tmp_path: Path) -> None:
    client = MilvusClient(str(tmp_path / "papers.db"))
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=100)
    nestvec.add_embedding(schema, "text", encoder="tiny", dims=[16], service=prompting, client=client)
    client.create_collection("papers", schema=schema, index_params=nestvec.index_params(schema))
    client.insert("papers", [{"id": place, "text": text} for place, text in enumerate(TEXTS)])
    spec = {"field": "text", "encoder": "tiny", "dims": (8,), "service": prompting}
    change = Change((new_embedding(spec),))
    # The copy's vectors are compared with the texts' before it is used.
    assert run_change(client, plan_or_continue(client, "papers", change)[0], change).rows == len(TEXTS)
    rows = client.query("papers", filter="id >= 0", output_fields=["*"])
    for column in read_table(client, "papers").embeddings:
        again = np.asarray(list(embed_as_written(column, [row["text"] for row in rows])), np.float32)
        np.testing.assert_allclose(np.asarray([row[column.column] for row in rows]), again, atol=1e-6)
    client.close()
