from __future__ import annotations

from typing import Any

import duckdb
import pytest

from nestvec.milvus.catalog import LOCKS_COLLECTION, Table
from nestvec.pgwire.catalog import database
from nestvec.pgwire.catalog.answer import duckdb_error
from nestvec.pgwire.catalog.database import FRESH_SECONDS, CatalogDatabase


class Milvus:
    """The collections of a Milvus, and how often they were listed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names = ["a"]
        self.reads = 0
        monkeypatch.setattr(database, "table_steps", self._table)

    def _table(self, name: str) -> Any:
        yield from ()
        self.reads += 1
        return Table(name, ())

    def read(self, catalogs: CatalogDatabase, meanwhile: Any = None) -> list[str]:
        steps = catalogs.fresh_tables()
        answer: Any = None
        try:
            while True:
                request = steps.send(answer)
                assert getattr(request, "method", "") == "list_collections"
                answer = list(self.names)
                if meanwhile is not None:
                    meanwhile()
        except StopIteration as end:
            return [table.name for table in end.value]


def test_collections_are_read_again_after_two_seconds_however_often_they_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    milvus, catalogs = Milvus(monkeypatch), CatalogDatabase("db", lambda: now[0])
    assert milvus.read(catalogs) == ["a"]
    now[0] = 0.75 * FRESH_SECONDS
    assert milvus.read(catalogs) == ["a"]
    with catalogs.cursor((), "me"):
        pass
    assert milvus.reads == 1
    now[0] = 1.25 * FRESH_SECONDS
    assert milvus.read(catalogs) == ["a"]
    assert milvus.reads == 2


def test_collections_that_another_process_creates_or_drops_are_seen_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    milvus, catalogs = Milvus(monkeypatch), CatalogDatabase("db", lambda: 0.0)
    assert milvus.read(catalogs) == ["a"]
    milvus.names.append("b")
    assert milvus.read(catalogs) == ["a", "b"]
    milvus.names.remove("a")
    assert milvus.read(catalogs) == ["b"]


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


@pytest.mark.parametrize("error", [duckdb.InternalException, duckdb.FatalException])
def test_catalogs_that_duckdb_has_given_up_are_opened_again(error: type[duckdb.Error]) -> None:
    catalogs = CatalogDatabase("db")
    with pytest.raises(error), catalogs.cursor((), "me") as cursor:
        cursor.execute("CREATE TABLE main.left_over (a INT)")
        raise error("INTERNAL Error: a null pointer")
    with catalogs.cursor((), "me") as cursor:
        cursor.execute("CREATE TABLE main.left_over (a INT)")
        assert cursor.execute("SELECT rolname FROM pgc.pg_roles WHERE rolname = 'me'").fetchall() == [("me",)]


def test_other_errors_leave_the_catalogs_open() -> None:
    catalogs = CatalogDatabase("db")
    with pytest.raises(duckdb.ConversionException), catalogs.cursor((), "me") as cursor:
        cursor.execute("CREATE TABLE main.left_over (a INT)")
        cursor.execute("SELECT 'x'::INT")
    with catalogs.cursor((), "me") as cursor:
        assert cursor.execute("SELECT * FROM main.left_over").fetchall() == []


def test_an_internal_error_of_duckdb_is_reported_as_one() -> None:
    reported = duckdb_error(duckdb.InternalException("INTERNAL Error: a null pointer\nStack Trace:"))
    assert reported.sqlstate == "XX000"
    assert str(reported) == "a query of the catalogs failed inside DuckDB: a null pointer"
