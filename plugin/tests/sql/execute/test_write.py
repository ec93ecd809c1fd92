"""Writes of a statement, while the service or Milvus does not respond."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pymilvus import MilvusException

from nestvec.ingest.write.patience import Clock, Patience, Waiting
from nestvec.milvus.catalog import Column, EmbeddingColumn, Table
from nestvec.milvus.providers import Endpoint
from nestvec.milvus.steps import drive
from nestvec.service.embedder import Embedder
from nestvec.service.server import bind, serve_in_thread
from nestvec.sql import local_services
from nestvec.sql.execute.write import write_in_batches
from nestvec.sql.session import Session
from nestvec.sql.settings import SessionSettings
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import CollectionRetired, ServiceUnreachable, StoreRefused
from nestvec_schemas.fingerprint import encoder_fingerprint

BUSY = MilvusException(1, "OpenAI API error 504: remembered")
LOST = MilvusException(1, "Retry run out of 0 retry times, StatusCode.UNAVAILABLE")
LATE = MilvusException(1, "context deadline exceeded")


def table(*, auto_id: bool = False) -> Table:
    return Table("t", (Column("id", "INT64", primary=True, auto_id=auto_id), Column("n", "INT64")), ())


class Milvus:
    """Meets each write with one of ``failures``, and succeeds afterwards."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.calls = list(failures), list[tuple[str, int]]()

    def insert(self, name: str, rows: list[Any], *, retry_times: int) -> dict[str, Any]:
        assert retry_times == 0, "pymilvus would insert the rows again"
        return self._write("insert", rows)

    def upsert(self, name: str, rows: list[Any], **options: Any) -> dict[str, Any]:
        return self._write("upsert", rows)

    def describe_collection(self, name: str) -> dict[str, Any]:
        return {"collection_name": name, "fields": []}

    def _write(self, method: str, rows: list[Any]) -> dict[str, Any]:
        self.calls.append((method, len(rows)))
        if self.failures:
            raise self.failures.pop(0)
        return {"ids": [row.get("id", 7) for row in rows]}


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patience, "_sleep", lambda self, until: None)


def write(client: Milvus, rows: int = 8, *, auto_id: bool = False, seconds: float = 600) -> list[Any]:
    session = Session(SessionSettings(retry_seconds=seconds))
    written: list[dict[str, object]] = [{"n": n} if auto_id else {"n": n, "id": n} for n in range(rows)]
    steps = write_in_batches(session, table(auto_id=auto_id), written)
    return drive(client, steps)


def test_a_busy_service_gets_fewer_rows_in_the_same_order() -> None:
    client = Milvus(BUSY, BUSY)
    assert write(client) == list(range(8))
    assert client.calls == [("insert", 8), ("insert", 4), ("insert", 2)] + [("insert", 2)] * 3


def test_rows_that_may_be_stored_are_replaced_by_themselves() -> None:
    client = Milvus(LOST)
    assert write(client) == list(range(8))
    assert client.calls == [("insert", 8), ("upsert", 8)]
    client = Milvus(LATE)
    assert write(client) == list(range(8))
    assert client.calls == [("insert", 8), ("upsert", 4), ("upsert", 4)]


def test_rows_of_generated_keys_are_not_sent_twice_if_milvus_may_have_been_late() -> None:
    client = Milvus(BUSY, LATE)
    with pytest.raises(StoreRefused, match="deadline"):
        write(client, auto_id=True)
    assert client.calls == [("insert", 8), ("insert", 4)]


def test_rows_whose_keys_milvus_makes_are_not_sent_twice() -> None:
    client = Milvus(BUSY, LOST)
    with pytest.raises(StoreRefused, match="UNAVAILABLE"):
        write(client, auto_id=True)
    assert client.calls == [("insert", 8), ("insert", 4)]


class ChangedMilvus(Milvus):
    """Has described its collection once before each of ``descriptions`` takes effect."""

    def __init__(self, *descriptions: dict[str, Any] | Exception) -> None:
        super().__init__()
        self.descriptions = [{}, *descriptions]

    def has_collection(self, name: str) -> bool:
        return True

    def describe_collection(self, name: str) -> dict[str, Any]:
        described = {"collection_name": name if name == "t" else "t__1", "fields": []}
        more = self.descriptions.pop(0) if self.descriptions and name == "t" else {}
        if isinstance(more, Exception):
            raise more
        return described | more


@pytest.mark.parametrize("auto_id", [True, False])
def test_rows_that_are_stored_are_not_sent_again_if_milvus_is_lost_then(auto_id: bool) -> None:
    client = ChangedMilvus(LOST, LATE)
    assert len(write(client, auto_id=auto_id)) == 8
    assert client.calls == [("insert", 8)]
    assert client.descriptions == []


@pytest.mark.parametrize("auto_id", [True, False])
def test_an_insert_during_a_switch_says_that_its_rows_may_be_carried_over(auto_id: bool) -> None:
    client = ChangedMilvus({"properties": {"nestvec.retired": "papers"}})
    with pytest.raises(CollectionRetired, match="8 rows were written, and stay") as error:
        write(client, auto_id=auto_id)
    assert ("look for them before they are written again" in str(error.value)) == auto_id
    assert error.value.has_written


def test_without_patience_the_first_error_is_raised() -> None:
    with pytest.raises(StoreRefused, match="504"):
        write(Milvus(BUSY), seconds=0)


def test_what_is_not_about_time_is_raised_at_once() -> None:
    client = Milvus(MilvusException(100, "collection not found", 4))
    with pytest.raises(StoreRefused, match="not found"):
        write(client)
    assert len(client.calls) == 1


def test_the_error_says_that_the_service_is_gone_and_what_was_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moments = iter(range(0, 100_000, 200))
    clock = Clock(now=lambda: next(moments))
    patience = partial(Patience, clock=clock)
    monkeypatch.setattr(sys.modules[Session.__module__], "Patience", patience)
    with pytest.raises(ServiceUnreachable, match="the embedding service embedded nothing for 10 min"):
        write(Milvus(*[BUSY] * 50))


def embedded_table(service: str, fingerprint: str) -> Table:
    config = EmbeddingConfig("tiny", 16, fingerprint=fingerprint)
    text, vector = Column("text", "VARCHAR"), Column("text_16", "FLOAT_VECTOR")
    embedding = EmbeddingColumn("text", "text_16", Endpoint("openai", service, config))
    return Table("t", (Column("id", "INT64", primary=True), text, vector), (embedding,))


def test_an_insert_waits_for_a_service_that_is_not_there_and_says_so(embedder: Embedder) -> None:
    fingerprint = encoder_fingerprint(embedder.encoders["tiny"].manifest)
    waits: list[Waiting] = []
    with ExitStack() as started:
        # Bound, and not listening: connections are refused, and nobody else takes the port.
        reserved = started.enter_context(socket.socket())
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        service = f"http://127.0.0.1:{port}"

        def waiting(wait: Waiting) -> None:
            waits.append(wait)
            if len(waits) == 2:
                started.enter_context(serve_in_thread(embedder, bind("127.0.0.1", port)))

        table = embedded_table(service, fingerprint)
        session = Session(SessionSettings(retry_seconds=600), tables={"t": table}, waiting=waiting)
        client = Milvus()
        rows: list[dict[str, object]] = [{"id": 1, "text": "w1"}]
        assert drive(client, write_in_batches(session, table, rows)) == [1]
    assert client.calls == [("insert", 1)]
    assert len(waits) == 2
    assert waits[0].fault.reason.startswith(f"the service at {service} of collection t does not answer")


def test_while_one_service_is_waited_for_the_others_are_started_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started = list[str]()

    @contextmanager
    def serve(services: Sequence[str], models: Path, tables: Sequence[Table]) -> Iterator[None]:
        started.extend(services)
        if services == ["http://b:1"] and len(started) < 4:
            raise ServiceUnreachable("the service does not answer", next_step="Start it.")
        yield

    monkeypatch.setattr(local_services, "serve_in_process", serve)
    with closing(Session(SessionSettings(models=tmp_path))) as session:
        drive(Milvus(), session.ensure_served(["http://a:1", "http://b:1"], Patience(600)))
    assert started == ["http://a:1", "http://b:1", "http://b:1", "http://b:1"]


def test_a_search_does_not_wait_for_the_service() -> None:
    waits: list[Waiting] = []
    gone = "http://127.0.0.1:9"
    session = Session(tables={"t": embedded_table(gone, "0" * 16)}, waiting=waits.append)
    with pytest.raises(ServiceUnreachable, match="of collection t does not answer"):
        drive(Milvus(), session.ensure_served([gone]))
    assert not waits
