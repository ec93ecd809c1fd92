"""A collection with vectors of every form, and an embedding that needs no engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from nestvec.bulk.embedding import EmbeddedTexts, VectorOutput
from nestvec.bulk.task import EngineChoice, Work
from nestvec.ingest.options import IngestOptions
from nestvec.milvus.catalog import Column, EmbeddingColumn, Table, TypeParams
from nestvec.milvus.providers import Endpoint
from nestvec_schemas.binary_codes import sign_bits
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import ImageUnreadable
from nestvec_schemas.vectors import to_int8


def vector_of(text: str, dim: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The vector that stands for a text."""
    seed = int.from_bytes(text.encode()[-8:], "little")
    return np.random.default_rng(seed).standard_normal(dim).astype(np.float32)


class FakeEmbedding:
    """Gives each text its ``vector_of``; a text that is ``broken`` fails."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def embed(self, texts: Sequence[str], outputs: Sequence[VectorOutput]) -> EmbeddedTexts:
        self.calls.append(list(texts))
        embedded = EmbeddedTexts(tokens=len(texts))
        for at, text in enumerate(texts):
            if text == "broken":
                embedded.failed[at] = ImageUnreadable(
                    "the image is broken", value=text, next_step="Repair it."
                )
        for output in outputs:
            form, dim = output.config.form, output.config.dim or 0
            if form == "sparse":
                embedded.columns[output.name] = [{len(text): 0.5, 3: 0.25} for text in texts]
                continue
            vectors = np.stack([vector_of(text, dim) for text in texts])
            convert = {"int8": to_int8, "binary": sign_bits}.get(form, lambda values: values)
            embedded.columns[output.name] = convert(vectors)
        return embedded


def embedded_column(name: str, form: Any, dim: int | None, caller: Any = "tei") -> EmbeddingColumn:
    config = EmbeddingConfig("tiny", dim, form=form)
    return EmbeddingColumn("text", name, Endpoint(caller, "http://127.0.0.1:1", config))


def make_table(*, auto_id: bool = False, dynamic: bool = True) -> Table:
    """A collection with a column of every kind that its files may have."""
    tags = TypeParams(element_type="VARCHAR", max_capacity=3, max_length=9)
    columns = (
        Column("id", "INT64", primary=True, auto_id=auto_id),
        Column("text", "VARCHAR", type_params=TypeParams(max_length=60)),
        Column("flag", "BOOL", nullable=True),
        Column("tiny", "INT8", nullable=True),
        Column("year", "INT32", nullable=True),
        Column("real", "FLOAT", nullable=True),
        Column("fine", "DOUBLE", nullable=True),
        Column("about", "JSON", nullable=True),
        Column("tags", "ARRAY", nullable=True, type_params=tags),
        Column("own", "FLOAT_VECTOR", nullable=True, type_params=TypeParams(dim=2)),
        Column("text_8", "FLOAT_VECTOR", type_params=TypeParams(dim=8)),
        Column("text_16", "FLOAT_VECTOR", type_params=TypeParams(dim=16)),
        Column("text_int8", "INT8_VECTOR", type_params=TypeParams(dim=16)),
        Column("text_bits", "BINARY_VECTOR", type_params=TypeParams(dim=16)),
        Column("text_words", "SPARSE_FLOAT_VECTOR"),
    )
    embeddings = (
        embedded_column("text_8", "float", 8),
        embedded_column("text_16", "float", 16),
        embedded_column("text_int8", "int8", 16),
        embedded_column("text_bits", "binary", 16, "nestvec"),
        embedded_column("text_words", "sparse", None, "nestvec"),
    )
    return Table("docs", columns, embeddings, dynamic=dynamic)


def row(number: int) -> dict[str, Any]:
    """A row that the collection takes."""
    return {
        "id": number,
        "text": f"text {number}",
        "flag": bool(number % 2),
        "tiny": number % 100,
        "year": 2000 + number,
        "real": number / 4,
        "fine": number / 8,
        "about": {"n": [number, None]},
        "tags": [f"t{number}"],
        "own": [0.5, 1.5],
        "more": number,
    }


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


MakeWork = Callable[..., Work]


@pytest.fixture
def make_work(tmp_path: Path) -> MakeWork:
    """Work on ``make_table``, with a folder beside the test's files."""

    def make(max_file_bytes: int = 1 << 30) -> Work:
        options = IngestOptions("a.db")
        engine = EngineChoice(tmp_path / "models")
        return Work(make_table(), str(tmp_path / "job"), options, engine, max_file_bytes)

    return make


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An S3-compatible store with the bucket ``corpus``."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in (
            ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ):
            monkeypatch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="corpus")
        yield
    finally:
        server.stop()
