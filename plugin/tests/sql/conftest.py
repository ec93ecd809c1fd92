"""A collection with a column of every kind that SQL meets; no Milvus."""

import pytest

from nestvec.catalog import Column, Embedding, Table
from nestvec.providers import Endpoint

SERVICE = "http://127.0.0.1:8080"


@pytest.fixture(scope="session")
def table() -> Table:
    endpoint = Endpoint("openai", SERVICE, "minilm")
    return Table(
        name="pydoc",
        columns=(
            Column("id", "INT64", primary=True),
            Column("name", "VARCHAR", max_length=256),
            Column("module", "VARCHAR", max_length=64, nullable=True),
            Column("year", "INT16", nullable=True),
            Column("score", "FLOAT"),
            Column("price", "DOUBLE", nullable=True),
            Column("public", "BOOL", nullable=True),
            Column("Mixed", "INT32"),
            Column("meta", "JSON", nullable=True),
            Column("like", "INT32"),
            Column("doc_64", "FLOAT_VECTOR", dim=64),
            Column("doc_l2", "FLOAT_VECTOR", dim=64),
            Column("doc_ip", "FLOAT_VECTOR", dim=64),
            Column("own", "FLOAT_VECTOR", dim=3),
            Column("bare", "FLOAT_VECTOR", dim=3),
        ),
        embeddings=tuple(
            Embedding("name", column, 64, endpoint) for column in ("doc_64", "doc_l2", "doc_ip")
        ),
        metrics={"doc_64": "COSINE", "doc_l2": "L2", "doc_ip": "IP", "own": "COSINE"},
    )
