"""The same text for several nested fields passes the encoder once, whoever asks and however."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from pymilvus import DataType

import nestvec
from nestvec.milvus.connection import open_milvus
from nestvec.service.embedder import Embedder
from nestvec.service.observability.observer import BatchRun, NullObserver
from nestvec.service.server import bind, open_embedder, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.samples.docstrings import sample_texts

DIMS = [32, 64, 128, 384]
TEXTS = list(sample_texts(40))


class Counter(NullObserver):
    """Counts the texts that pass the engine."""

    def __init__(self) -> None:
        self.texts = 0

    def batch_finished(self, run: BatchRun) -> None:
        self.texts += run.texts


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def service(models: Path, counter: Counter) -> Iterator[str]:
    embedder: Embedder = open_embedder(models, (), ServiceSettings(), counter)
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        yield address


def test_four_fields_on_milvus_lite(service: str, counter: Counter, tmp_path: Path) -> None:
    with open_milvus(str(tmp_path / "four.db")) as client:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("doc", DataType.VARCHAR, max_length=8192)
        nestvec.add_embedding(schema, "doc", encoder="minilm", dims=DIMS, service=service, client=client)
        client.create_collection("four", schema=schema, index_params=nestvec.index_params(schema))
        client.insert("four", [{"id": number, "doc": text} for number, text in enumerate(TEXTS)])
    assert counter.texts == len(set(TEXTS))


def test_four_functions_at_once_as_standalone_milvus_asks(service: str, counter: Counter) -> None:
    def ask(dim: int) -> list[list[float]]:
        answer = httpx.post(f"{service}/embed?encoder=minilm&dim={dim}", json={"inputs": TEXTS}, timeout=60)
        rows: list[list[float]] = answer.raise_for_status().json()
        return rows

    with ThreadPoolExecutor(len(DIMS)) as pool:
        answers = list(pool.map(ask, DIMS))
    assert [len(rows[0]) for rows in answers] == DIMS
    assert counter.texts == len(set(TEXTS))
