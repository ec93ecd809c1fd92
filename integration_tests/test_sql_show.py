"""SHOW, and how widely a search looks, on the real Milvus Lite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pymilvus import MilvusClient

from nestvec.milvus.connection import open_milvus
from nestvec.sql import Session, execute
from nestvec_schemas.errors import SqlUnknownName


@pytest.fixture
def client(tmp_path: Path) -> Iterator[MilvusClient]:
    with open_milvus(str(tmp_path / "t.db")) as opened:
        execute(opened, "CREATE TABLE t (id BIGINT PRIMARY KEY, v VECTOR(2))")
        execute(opened, "CREATE INDEX ON t USING hnsw (v vector_l2_ops) WITH (m = 8)")
        execute(opened, "INSERT INTO t VALUES (1, '[1, 0]'), (2, '[0, 1]'), (3, '[4, 4]')")
        yield opened


def test_show_lists(client: MilvusClient) -> None:
    assert execute(client, "SHOW TABLES").rows == (("t",),)
    assert execute(client, "SHOW DATABASES;").rows == (("default",),)
    client.create_partition("t", "old")
    assert set(execute(client, "SHOW PARTITIONS FROM t").rows) == {("_default",), ("old",)}
    assert execute(client, 'SHOW COLUMNS IN "t"') == execute(client, "DESCRIBE t")
    statement = "SHOW PARTITIONS FROM tt"
    with pytest.raises(SqlUnknownName, match="Did you mean 't'") as caught:
        execute(client, statement)
    assert caught.value.position == statement.index("tt")


def test_search_widths_are_sent_to_milvus(client: MilvusClient) -> None:
    session = Session()
    nearest = "SELECT id FROM t ORDER BY v <-> '[1, 0.1]' LIMIT 3"
    for setting in ("hnsw.ef_search = 1", "hnsw.ef_search = 200", "ivfflat.probes = 4", "hnsw.ef_search = 0"):
        execute(client, f"SET {setting}", session=session)
        assert execute(client, nearest, session=session).rows == ((1,), (2,), (3,))
