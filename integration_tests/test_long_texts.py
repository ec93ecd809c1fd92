"""Long texts on one thread: an insert succeeds within what Milvus waits, whatever the machine.

The service runs as a process of its own with ``--threads 1``. Milvus Lite is the real one; a server is played
by ``GoMilvus``, which tries and waits as Milvus does.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from integration_tests.fixtures.milvus_go import GoMilvus
from integration_tests.fixtures.services import vacant_address
from pymilvus import CollectionSchema, DataType, MilvusClient

import nestvec
from nestvec.client.service_client import fetch_info
from nestvec.milvus.catalog import read_table
from nestvec.milvus.connection import open_milvus
from nestvec_schemas.errors import ServiceUnreachable
from nestvec_schemas.vectors import cosines, nest

NESTVEC = [sys.executable, "-c", "from nestvec.cli import main; main()"]
GUARD_SECONDS = 1200
"""Against hanging only."""

VOCABULARY = """
    shock wave lift drag boundary layer heat transfer supersonic flow pressure distribution wing body
    laminar turbulent skin friction hypersonic viscous interaction blunt leading edge stagnation point
"""

FIELDS = {1: [384], 4: [64, 128, 256, 384]}


@pytest.fixture(scope="module")
def one_thread(models: Path) -> Iterator[str]:
    """The URL of a service with one thread."""
    address = vacant_address()
    command = [*NESTVEC, "serve", "--models", str(models), "--threads", "1"]
    command += ["--port", address.rpartition(":")[2]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(address, process)
            yield address
        finally:
            process.send_signal(signal.SIGTERM)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + GUARD_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            fetch_info(address)
        except ServiceUnreachable:
            time.sleep(0.2)
        else:
            return
    raise AssertionError("the service did not start")


def long_texts(number: int, words: int | None = None) -> list[str]:
    """Distinct texts of ``words`` words each, or of 3 to 230."""
    pick, vocabulary = random.Random(number), VOCABULARY.split()
    lengths = [words or pick.randint(3, 230) for _ in range(number)]
    return [f"{n} {' '.join(pick.choices(vocabulary, k=length))}" for n, length in enumerate(lengths)]


def make_schema(client: Any, service: str, dims: list[int]) -> CollectionSchema:
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=65_535)
    nestvec.add_embedding(schema, "text", encoder="minilm", dims=dims, service=service, client=client)
    return schema


def insert_as_milvus(version: str, service: str, dims: list[int], texts: list[str]) -> GoMilvus:
    """All texts, in inserts of as many rows as Milvus takes at once, each inserted once: what it tries again
    is what Milvus's Go code does within its time. Raises GoError."""
    milvus = GoMilvus(version)
    milvus.create_collection("papers", make_schema(milvus, service, dims))
    most = min(function.max_rows for function in milvus.functions["papers"])
    rows = [{"id": number, "text": text} for number, text in enumerate(texts)]
    for start in range(0, len(rows), most):
        milvus.insert("papers", rows[start : start + most])
    return milvus


def check_nested(vectors: dict[int, np.ndarray[Any, np.dtype[np.float32]]], number: int) -> None:
    """There are ``number`` vectors of each dim, and the shorter ones are prefixes of the longest."""
    whole = vectors[max(vectors)]
    for dim, stored in vectors.items():
        assert stored.shape == (number, dim)
        assert cosines(stored, nest(whole, dim)).min() > 0.9999


def check_go(service: str, version: str, fields: int, texts: list[str]) -> None:
    milvus = insert_as_milvus(version, service, FIELDS[fields], texts)
    check_nested({dim: milvus.vectors("papers", f"text_{dim}") for dim in FIELDS[fields]}, len(texts))


def check_lite(service: str, folder: Path, fields: int, texts: list[str]) -> None:
    """``nestvec ingest`` into Milvus Lite."""
    file, uri = folder / "texts.jsonl", str(folder / "papers.db")
    file.write_text("".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(texts)))
    with open_milvus(uri) as client:
        schema = make_schema(client, service, FIELDS[fields])
        client.create_collection("papers", schema=schema, index_params=nestvec.index_params(schema))
    command = [
        *NESTVEC,
        "ingest",
        str(file),
        "--collection",
        "papers",
        "--uri",
        uri,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=GUARD_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    with open_milvus(uri) as client:
        client.load_collection("papers")
        names = [f"text_{dim}" for dim in FIELDS[fields]]
        stored = []
        for start in range(0, len(texts), 1000):
            within = f"id >= {start} and id < {start + 1000}"
            stored += client.query("papers", filter=within, output_fields=["id", *names])
        stored.sort(key=lambda row: row["id"])
        vectors = {dim: np.asarray([row[f"text_{dim}"] for row in stored]) for dim in FIELDS[fields]}
    check_nested(vectors, len(texts))


@pytest.mark.parametrize("fields", FIELDS)
def test_some_long_texts_through_milvus(one_thread: str, fields: int) -> None:
    check_go(one_thread, "v2.6.11", fields, long_texts(40 + fields, words=230))


def test_some_long_texts_through_milvus_lite(one_thread: str, tmp_path: Path) -> None:
    check_lite(one_thread, tmp_path, 4, long_texts(45, words=230))


def test_the_chunk_is_the_services(one_thread: str, tmp_path: Path) -> None:
    info = fetch_info(one_thread).encoders["minilm"]
    assert info.tokens_per_second is not None
    assert info.recommended_chunk is not None
    milvus = GoMilvus()
    milvus.create_collection("papers", make_schema(milvus, one_thread, [64]))
    (function,) = milvus.functions["papers"]
    # The speed is measured on: a request between two readings changes it a little.
    assert 32 <= function.chunk <= 1024
    assert 0.5 * info.recommended_chunk <= function.chunk <= 2 * info.recommended_chunk
    with open_milvus(str(tmp_path / "lite.db")) as client:
        schema = make_schema(client, one_thread, [64])
        client.create_collection("papers", schema=schema, index_params=nestvec.index_params(schema))
        (embedding,) = read_table(client, "papers").embeddings
    assert embedding.endpoint.chunk is not None
    assert embedding.endpoint.max_insert_rows == 5 * embedding.endpoint.chunk


@pytest.mark.nightly
@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("version", ["v2.6.11", "3.0.0"])
def test_600_long_texts_through_milvus(one_thread: str, version: str, fields: int) -> None:
    texts = long_texts(600 + fields + len(version), words=230)
    check_go(one_thread, version, fields, texts)


@pytest.mark.nightly
@pytest.mark.parametrize("fields", FIELDS)
def test_600_long_texts_through_milvus_lite(one_thread: str, tmp_path: Path, fields: int) -> None:
    check_lite(one_thread, tmp_path, fields, long_texts(620 + fields, words=230))


@pytest.mark.nightly
@pytest.mark.parametrize("fields", FIELDS)
def test_5000_texts_of_mixed_length_through_milvus(one_thread: str, fields: int) -> None:
    check_go(one_thread, "v2.6.11", fields, long_texts(5000 + fields))


@pytest.mark.nightly
@pytest.mark.parametrize("fields", FIELDS)
def test_5000_texts_of_mixed_length_through_milvus_lite(one_thread: str, tmp_path: Path, fields: int) -> None:
    check_lite(one_thread, tmp_path, fields, long_texts(5010 + fields))
