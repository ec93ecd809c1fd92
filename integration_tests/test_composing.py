"""Records and lists of items on the real Milvus Lite: texts composed by ingest and SQL, and playlists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from integration_tests.fixtures.services import vacant_address
from pymilvus import MilvusClient

from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import embed_vectors
from nestvec.collections import lifecycle
from nestvec.ingest import IngestOptions, ingest
from nestvec.milvus.catalog import read_table
from nestvec.milvus.connection import open_milvus
from nestvec.service.in_process import serve_in_process
from nestvec.sql import execute
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import SqlError
from nestvec_schemas.spec.yaml_file import parse_spec

SPEC = """
collection: items
service: {service}
dynamic: {dynamic}
fields:
  id:    {{type: INT64, primary: true}}
  about: {{type: VARCHAR, max_length: 300, compose: {compose}}}
  title: {{type: VARCHAR, max_length: 80, nullable: true}}
  brand: {{type: VARCHAR, max_length: 40, nullable: true}}
  price: {{type: FLOAT, nullable: true}}
  meta:  {{type: JSON, nullable: true}}
  tags:  {{type: ARRAY, element_type: VARCHAR, max_length: 9, max_capacity: 3, nullable: true}}
embeddings:
  - {{field: about, encoder: minilm, dims: [64]}}
"""
TEMPLATE = '"{title}. {brand}: {meta.color}"'


class Place:
    """A database with the collection ``items``, whose service runs."""

    def __init__(self, folder: Path, client: MilvusClient, service: str) -> None:
        self.folder, self.client, self.service = folder, client, service

    def create(self, compose: str = TEMPLATE, *, dynamic: bool = False) -> None:
        text = SPEC.format(service=self.service, compose=compose, dynamic=str(dynamic).lower())
        lifecycle.create_collection(self.client, parse_spec(text, path="spec"))

    def ingest(self, name: str, text: str) -> Any:
        (self.folder / name).write_text(text)
        table = read_table(self.client, "items")
        return ingest(self.client, table, self.folder / name, IngestOptions("here", restart=True))

    def sql(self, statement: str) -> tuple[tuple[Any, ...], ...]:
        return execute(self.client, statement).rows

    def texts(self) -> dict[int, str]:
        return dict(self.sql("SELECT id, about FROM items ORDER BY id"))


@pytest.fixture(scope="module")
def service() -> str:
    return vacant_address()


@pytest.fixture(scope="module")
def client(service: str, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusClient]:
    database = str(tmp_path_factory.mktemp("items") / "a.db")
    with serve_in_process([service], models), open_milvus(database) as client:
        yield client


@pytest.fixture
def place(client: MilvusClient, service: str, tmp_path: Path) -> Iterator[Place]:
    yield Place(tmp_path, client, service)
    client.drop_collection("items")


ROWS = [
    {"id": 1, "title": "Blue shirt", "brand": "Acme", "meta": {"color": "navy"}},
    {"id": 2, "title": "Red hat", "brand": None, "meta": {"color": "red"}},
    {"id": 3, "price": 0.1},
    {"id": 4, "about": "its own words", "title": "Green sock"},
    {"id": 5, "brand": "Acme", "meta": {"color": "black"}},
]


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_rows_are_composed_without_the_spec(place: Place) -> None:
    place.create()
    report = place.ingest("a.jsonl", lines(*ROWS))
    assert (report.inserted, report.rejected) == (4, 1)
    assert "composes to nothing" in report.reasons[0]
    assert "Add title, brand, meta to the row" in report.reasons[0]
    texts = {1: "Blue shirt. Acme: navy", 2: "Red hat", 4: "its own words", 5: "Acme: black"}
    assert place.texts() == texts
    place.ingest("b.csv", 'id,title,brand,meta\n6,Cap,Acme,"{""color"": ""grey""}"\n7,Coat,,\n')
    assert place.texts() == texts | {6: "Cap. Acme: grey", 7: "Coat"}
    stored = place.sql("SELECT about_64 FROM items WHERE id = 1")[0][0]
    wanted = next(
        iter(embed_vectors(EmbeddingRequest(place.service, EmbeddingConfig("minilm", 64)), [texts[1]]))
    )
    assert np.dot(stored, wanted) > 0.9999
    column = next(
        one for one in lifecycle.describe_collection(place.client, "items")["columns"] if one["compose"]
    )
    assert (column["name"], column["compose"]) == ("about", TEMPLATE.strip('"'))


def test_sql_composes_too(place: Place) -> None:
    place.create()
    place.sql(
        "INSERT INTO items (id, title, meta) VALUES (1, 'Scarf', '{\"color\": \"red\"}'), (2, 'Tie', NULL)"
    )
    place.sql("INSERT INTO items (id, title, about) VALUES (3, 'Sock', DEFAULT), (4, 'Shoe', 'mine')")
    assert place.texts() == {1: "Scarf", 2: "Tie", 3: "Sock", 4: "mine"}
    place.sql("UPDATE items SET brand = 'Acme', title = title || '!' WHERE id < 3")
    place.sql("UPDATE items SET price = 2 WHERE id = 4")
    place.sql("UPDATE items SET title = 'Boot', about = 'mine still' WHERE id = 3")
    assert place.texts() == {1: "Scarf!. Acme: red", 2: "Tie!", 3: "mine still", 4: "mine"}
    for statement in (
        "INSERT INTO items (id, price) VALUES (9, 1)",
        "UPDATE items SET title = NULL WHERE id = 2",
    ):
        with pytest.raises(SqlError, match="noth"):
            place.sql(statement)
    assert len(place.texts()) == 4


def test_rows_that_an_insert_meets_are_composed_again(place: Place) -> None:
    place.create()
    place.sql(
        "INSERT INTO items (id, title, brand, meta) VALUES (1, 'Scarf', 'Acme', '{\"color\": \"red\"}'), "
        "(2, 'Tie', NULL, NULL)"
    )
    insert = "INSERT INTO items (id, title, brand) VALUES (1, 'Shawl', 'Best'), (3, 'Hat', NULL) ON CONFLICT "
    place.sql(f"{insert} (id) DO UPDATE SET title = EXCLUDED.title")
    assert place.texts() == {1: "Shawl. Acme: red", 2: "Tie", 3: "Hat"}
    stored = place.sql("SELECT about_64 FROM items WHERE id = 1")[0][0]
    wanted = next(
        iter(
            embed_vectors(
                EmbeddingRequest(place.service, EmbeddingConfig("minilm", 64)), ["Shawl. Acme: red"]
            )
        )
    )
    assert np.dot(stored, wanted) > 0.9999
    place.sql(f"{insert} (id) DO UPDATE SET brand = 'Own'")
    assert place.texts() == {1: "Shawl. Own: red", 2: "Tie", 3: "Hat"}
    # What is set itself is kept, and a column that is no part of it changes nothing.
    place.sql(f"{insert} (id) DO UPDATE SET about = 'mine', brand = EXCLUDED.brand")
    place.sql(f"{insert} (id) DO UPDATE SET price = 2")
    assert place.texts() == {1: "mine", 2: "Tie", 3: "mine"}
    with pytest.raises(SqlError, match="nothing to embed"):
        place.sql(
            "INSERT INTO items (id, title, about) VALUES (2, NULL, 'x'), (9, 'New', DEFAULT) "
            "ON CONFLICT (id) DO UPDATE SET title = EXCLUDED.title"
        )
    # Every row is checked before any is written.
    assert place.texts() == {1: "mine", 2: "Tie", 3: "mine"}


@pytest.mark.parametrize("dynamic", [False, True])
def test_flattened_items(place: Place, dynamic: bool) -> None:
    place.create("flatten", dynamic=dynamic)
    more, told = ({"fit": "slim"}, " fit: slim") if dynamic else ({}, "")
    row = ROWS[0] | {"price": 0.1, "tags": ["new", "cotton"]} | more
    place.ingest("a.jsonl", lines(row))
    rest = f"brand: Acme price: 0.1 color: navy tags: new, cotton{told}"
    assert place.texts() == {1: f"title: Blue shirt {rest}"}
    place.sql("UPDATE items SET title = 'Shirt' WHERE id = 1")
    assert place.texts() == {1: f"title: Shirt {rest}"}
    place.sql(
        "INSERT INTO items (id, title) VALUES (1, 'Vest') "
        "ON CONFLICT (id) DO UPDATE SET title = EXCLUDED.title"
    )
    assert place.texts() == {1: f"title: Vest {rest}"}


def test_a_playlist_is_a_query(place: Place) -> None:
    place.create('"Für Dich:\\n{title}"')
    titles = [
        "Symphony for strings",
        "Piano sonata",
        "Violin concerto",
        "Wool socks",
        "Leather boots",
        "Cello suite",
    ]
    place.ingest("a.jsonl", lines(*({"id": n, "title": title} for n, title in enumerate(titles))))
    found = place.sql(
        "SELECT id FROM items WHERE id NOT IN (0, 1, 2) "
        "ORDER BY about_64 <=> (SELECT AVG(about_64) FROM items WHERE id IN (0, 1, 2)) LIMIT 1"
    )
    assert found == ((5,),)
    assert place.texts()[5] == "Für Dich:\nCello suite"
