from __future__ import annotations

from typing import Any

import pytest

from nestvec.milvus.catalog import LOCKS_COLLECTION, Table
from nestvec.pgwire.catalog import database
from nestvec.pgwire.catalog.database import FRESH_SECONDS, CatalogDatabase


class Milvus:
    """The collections of a Milvus, and how often they were listed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names = ["a"]
        self.listed = 0
        monkeypatch.setattr(database, "table_steps", _table)

    def read(self, catalogs: CatalogDatabase, meanwhile: Any = None) -> list[str]:
        steps = catalogs.fresh_tables()
        answer: Any = None
        try:
            while True:
                request = steps.send(answer)
                assert getattr(request, "method", "") == "list_collections"
                self.listed += 1
                answer = list(self.names)
                if meanwhile is not None:
                    meanwhile()
        except StopIteration as end:
            return [table.name for table in end.value]


def _table(name: str) -> Any:
    yield from ()
    return Table(name, ())


def test_collections_are_read_again_after_two_seconds_however_often_they_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    milvus, catalogs = Milvus(monkeypatch), CatalogDatabase("db", lambda: now[0])
    assert milvus.read(catalogs) == ["a"]
    milvus.names.append("b")
    now[0] = 0.75 * FRESH_SECONDS
    assert milvus.read(catalogs) == ["a"]
    catalogs.cursor((), "me").close()
    now[0] = 1.25 * FRESH_SECONDS
    assert milvus.read(catalogs) == ["a", "b"]
    assert milvus.listed == 2


def test_a_change_during_a_read_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    milvus, catalogs = Milvus(monkeypatch), CatalogDatabase("db", lambda: 0.0)

    def create() -> None:
        milvus.names.append("b")
        catalogs.forget()

    assert milvus.read(catalogs, create) == ["a"]
    assert milvus.read(catalogs) == ["a", "b"]


def test_the_claims_of_statements_are_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    milvus, catalogs = Milvus(monkeypatch), CatalogDatabase("db", lambda: 0.0)
    milvus.names.append(LOCKS_COLLECTION)
    assert milvus.read(catalogs) == ["a"]
