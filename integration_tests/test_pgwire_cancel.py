"""Statements that are cancelled, or take too long, on the real Milvus Lite."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from integration_tests.fixtures.pgwire import HANG_SECONDS, RunningPg, run_pg

from nestvec.pgwire.settings import PgLimits, PgSettings


@pytest.fixture(scope="module")
def pg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPg]:
    with run_pg(tmp_path_factory.mktemp("cancel") / "pg.db") as running:
        with psycopg.connect(running.address, autocommit=True) as connection:
            connection.execute("CREATE TABLE items (id BIGINT PRIMARY KEY, v VECTOR(3) NOT NULL)")
        yield running


def end_timeout(connection: psycopg.Connection) -> None:
    """Reset it, which on a busy machine may take longer than it allows."""
    until = time.monotonic() + HANG_SECONDS
    while time.monotonic() < until:
        with suppress(psycopg.errors.QueryCanceled):
            connection.execute("RESET statement_timeout")
            return
    raise TimeoutError("the timeout cannot be reset")


def test_a_statement_is_cancelled(pg: RunningPg, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Milvus does not answer, a cancel request of another connection ends the statement."""
    entered, released = threading.Event(), threading.Event()

    def wait(*_: object, **__: object) -> bool:
        entered.set()
        assert released.wait(HANG_SECONDS)
        return True

    with psycopg.connect(pg.address, autocommit=True) as connection:
        monkeypatch.setattr(pg.server.engine.client, "has_collection", wait)
        canceller = threading.Thread(target=lambda: (entered.wait(HANG_SECONDS), connection.cancel_safe()))
        canceller.start()
        try:
            with pytest.raises(psycopg.errors.QueryCanceled):
                connection.execute("SELECT count(*) FROM items")
        finally:
            released.set()
        canceller.join(HANG_SECONDS)
        monkeypatch.undo()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_slow_statement_ends_by_its_timeout(pg: RunningPg, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    with psycopg.connect(pg.address, autocommit=True) as connection:
        monkeypatch.setattr(
            pg.server.engine.client, "has_collection", lambda *_, **__: released.wait(HANG_SECONDS)
        )
        connection.execute("SET statement_timeout = '50ms'")
        try:
            with pytest.raises(psycopg.errors.QueryCanceled, match="timeout"):
                connection.execute("SELECT count(*) FROM items")
        finally:
            released.set()
        monkeypatch.undo()
        end_timeout(connection)
        assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)


@pytest.mark.parametrize(
    "statement",
    [
        f"SELECT count(*) FROM {', '.join(f'pg_attribute a{number}' for number in range(25))}",
        "SELECT count(*) FROM many a, many b, many c, many d, many e WHERE a.id + b.id + c.id + d.id < e.id",
    ],
    ids=["catalogs", "collections"],
)
def test_a_statement_that_is_over_leaves_its_thread(tmp_path: Path, statement: str) -> None:
    """A server with one thread has none for the next statement, unless DuckDB stops too."""
    limits = PgLimits(threads=1)
    with (
        run_pg(tmp_path / "pg.db", PgSettings(limits)) as running,
        psycopg.connect(running.address, autocommit=True) as connection,
    ):
        connection.execute("CREATE TABLE many (id BIGINT PRIMARY KEY, v VECTOR(2) NOT NULL)")
        rows = ", ".join(f"({number}, '[1,{number}]')" for number in range(1000))
        connection.execute(f"INSERT INTO many VALUES {rows}")
        connection.execute("SET statement_timeout = '500ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(statement)
        end_timeout(connection)
        assert connection.execute("SELECT count(*) FROM many").fetchone() == (1000,)


def test_a_write_that_waits_for_another_is_cancelled(pg: RunningPg, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, released = threading.Event(), threading.Event()
    has_collection = pg.server.engine.client.has_collection

    def wait(*args: str, **options: float) -> bool:
        entered.set()
        assert released.wait(HANG_SECONDS)
        return has_collection(*args, **options)

    with (
        psycopg.connect(pg.address, autocommit=True) as first,
        psycopg.connect(pg.address, autocommit=True) as second,
    ):
        monkeypatch.setattr(pg.server.engine.client, "has_collection", wait)
        writer = threading.Thread(target=first.execute, args=("DELETE FROM items WHERE id = 77",))
        writer.start()
        try:
            assert entered.wait(HANG_SECONDS)
            second.execute("SET statement_timeout = '50ms'")
            with pytest.raises(psycopg.errors.QueryCanceled):
                second.execute("DELETE FROM items WHERE id = 78")
        finally:
            released.set()
        writer.join(HANG_SECONDS)
        monkeypatch.undo()
        end_timeout(second)
        second.execute("DELETE FROM items WHERE id = 78")
