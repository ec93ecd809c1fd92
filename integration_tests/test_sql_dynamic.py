"""Dynamic fields on the real Milvus Lite, in a collection from pymilvus's quick set-up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymilvus import MilvusClient

from nestvec.milvus.connection import open_milvus
from nestvec.sql import execute
from nestvec_schemas.errors import SqlNotSupported, SqlUnknownName


@pytest.fixture
def client(tmp_path: Path) -> Iterator[MilvusClient]:
    with open_milvus(str(tmp_path / "t.db")) as opened:
        opened.create_collection("demo", dimension=2)
        rows: list[dict[str, Any]] = [
            {"id": n, "vector": [1.0, n], "text": f"text {n}", "subject": ("history", "art")[n % 2], "n": n}
            for n in range(4)
        ]
        opened.insert("demo", [*rows, {"id": 9, "vector": [1.0, 9.0]}])
        yield opened


def rows(client: MilvusClient, statement: str) -> list[tuple[Any, ...]]:
    return list(execute(client, statement).rows)


def test_dynamic_fields_are_read_as_json(client: MilvusClient) -> None:
    assert rows(client, "SELECT * FROM demo WHERE id = 1") == [
        (1, [1.0, 1.0], {"n": 1, "subject": "art", "text": "text 1"})
    ]
    assert rows(client, """SELECT "$meta" FROM demo WHERE id = 9""") == [({},)]
    wanted = """SELECT id, "$meta"->>'text' AS said, ("$meta"->>'n')::int + 1 AS n FROM demo"""
    assert rows(client, f"""{wanted} WHERE "$meta"->>'subject' = 'history' ORDER BY id""") == [
        (0, "text 0", 1),
        (2, "text 2", 3),
    ]
    nearest = f"""{wanted} WHERE ("$meta"->>'n')::int > 1 ORDER BY vector <=> '[1, 0]' LIMIT 1"""
    assert rows(client, nearest) == [(2, "text 2", 3)]
    assert rows(client, """SELECT id FROM demo WHERE "$meta"->>'n' IS NULL""") == [(9,)]
    by = """SELECT "$meta"->>'subject' AS subject, count(*) FROM demo GROUP BY subject ORDER BY 1"""
    assert rows(client, by) == [("art", 2), ("history", 2), (None, 1)]
    for listing in ("DESCRIBE demo", "SHOW COLUMNS FROM demo"):
        assert rows(client, listing)[-1][:2] == ("$meta", "JSONB")


def test_dynamic_fields_are_written_by_name(client: MilvusClient) -> None:
    statement = "INSERT INTO demo (id, vector, colour) VALUES (20, '[1, 2]', 'red') RETURNING *"
    assert rows(client, statement) == [(20, [1.0, 2.0], {"colour": "red"})]
    changed = """UPDATE demo SET vector = '[2, 1]' WHERE "$meta"->>'colour' = 'red' RETURNING *"""
    assert rows(client, changed) == [(20, [2.0, 1.0], {"colour": "red"})]
    gone = """DELETE FROM demo WHERE "$meta"->>'colour' = 'red' RETURNING id, "$meta"->>'colour' AS c"""
    assert rows(client, gone) == [(20, "red")]


def test_errors_of_dynamic_fields(client: MilvusClient) -> None:
    with pytest.raises(SqlUnknownName, match="""field as "\\$meta"->>'text'"""):
        execute(client, "SELECT text FROM demo")
    with pytest.raises(SqlNotSupported, match="fields by name"):
        execute(client, """INSERT INTO demo (id, vector, "$meta") VALUES (1, '[1, 2]', '{}')""")
