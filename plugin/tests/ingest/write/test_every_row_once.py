"""Whatever fails, whenever, and wherever the process is killed: every row is stored once or rejected once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymilvus import MilvusException
from pymilvus.client.types import LoadState

from nestvec.ingest import DeliveryOptions, IngestOptions, ingest, insert_rows
from nestvec.ingest.journal import journal_path
from nestvec_schemas.errors import ServiceUnreachable, StoreRefused, StoreUnreachable

Made = Callable[..., Any]

Event = Literal[
    "ok", "504", "refused", "lost", "stored and lost", "stored and late", "unclear", "kill", "stored and kill"
]
EVENTS: tuple[Event, ...] = (
    "ok",
    "504",
    "refused",
    "lost",
    "stored and lost",
    "stored and late",
    "unclear",
    "kill",
    "stored and kill",
)


class Killed(BaseException):
    """Ends a run as kill -9 does."""


class FailingMilvus:
    """A collection whose writes meet ``events``, one each, and succeed afterwards.

    A row with the note ``bad`` is refused, and so is every request that has it.
    """

    def __init__(self, events: Sequence[Event], version: str) -> None:
        self.events, self.version = list(events), version
        self.rows: list[dict[str, Any]] = []
        self.writes = 0
        self.lock, self.writing = Lock(), 0
        self.most_at_once = 0

    def describe_collection(self, name: str) -> dict[str, Any]:
        return {"collection_id": 7, "fields": []}

    def get_server_version(self) -> str:
        return self.version

    def get_load_state(self, name: str) -> dict[str, LoadState]:
        return {"state": LoadState.Loaded}

    def query(self, name: str, **options: Any) -> list[dict[str, int]]:
        return [{"count(*)": len(self.rows)}]

    def insert(self, name: str, rows: list[dict[str, Any]], *, retry_times: int) -> None:
        self._write(lambda: self.rows.extend(rows), rows, retry_times)

    def upsert(self, name: str, rows: list[dict[str, Any]], *, retry_times: int) -> None:
        keys = {row["id"] for row in rows}
        assert len(keys) == len(rows), "Milvus refuses a key that is twice in one request"

        def land() -> None:
            self.rows = [row for row in self.rows if row["id"] not in keys] + rows

        self._write(land, rows, retry_times)

    def _write(self, land: Callable[[], None], rows: list[dict[str, Any]], retry_times: int) -> None:
        assert retry_times == 0, "pymilvus would send the rows again"
        with self.lock:
            self.writing += 1
            self.most_at_once = max(self.most_at_once, self.writing)
            event = self.events.pop(0) if self.events else "ok"
        try:
            self._meet(event, land, rows)
        finally:
            with self.lock:
                self.writing -= 1

    def _meet(self, event: Event, land: Callable[[], None], rows: list[dict[str, Any]]) -> None:
        if event == "504":
            raise MilvusException(1, 'OpenAI API error 504: {"error":{"message":"remembered"}}')
        if event == "refused":
            raise MilvusException(1, "OpenAI API connection error: [Errno 111] Connection refused")
        if event == "lost":
            raise MilvusException(1, "Retry run out of 0 retry times, StatusCode.UNAVAILABLE")
        if event == "unclear":
            raise MilvusException(1, "segmentation fault of a friend")
        if event == "kill":
            raise Killed
        if any(row["note"] == "bad" for row in rows):
            raise MilvusException(6, "value out of range", 6)
        with self.lock:
            land()
            self.writes += 1
        if event == "stored and lost":
            raise MilvusException(1, "Retry run out of 0 retry times, StatusCode.UNAVAILABLE")
        if event == "stored and late":
            raise MilvusException(1, "context deadline exceeded")
        if event == "stored and kill":
            raise Killed


def write_file(path: Path, bad: Sequence[bool], *, keys: bool) -> None:
    rows = [
        {"text": f"t{n}", "note": "bad" if wrong else str(n)} | ({"id": n} if keys else {})
        for n, wrong in enumerate(bad)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


KINDS = ("keyed", "lite", "lite auto", "server auto")


@given(
    bad=st.lists(st.sampled_from([False] * 5 + [True]), min_size=1, max_size=20),
    # An error that says nothing, often enough, is about the row.
    events=st.lists(st.sampled_from(EVENTS), max_size=14).filter(lambda met: met.count("unclear") < 6),
    batches=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    kind=st.sampled_from(KINDS),
    requests=st.integers(1, 3),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=75)
def test_every_row_is_stored_once_or_rejected_once(
    tmp_path: Path,
    make_table: Made,
    fake_time: Made,
    bad: list[bool],
    events: list[Event],
    batches: list[int],
    kind: str,
    requests: int,
) -> None:
    path, rejects = tmp_path / "x.jsonl", tmp_path / "x.jsonl.rejected.jsonl"
    for old in (rejects, journal_path(path, "t")):
        old.unlink(missing_ok=True)
    # The first row is good: a file of which no row is accepted says nothing about its rows.
    bad = [False, *bad]
    write_file(path, bad, keys="auto" not in kind)
    client = FailingMilvus(events, "milvus_lite-3.2.2" if "lite" in kind else "v2.6.19")
    table, report = make_table(auto_id="auto" in kind), None
    for attempt in range(len(events) + 2):
        delivery = DeliveryOptions(retry_seconds=3600, requests=requests, clock=fake_time().clock)
        options = IngestOptions("memory", batch=batches[attempt % len(batches)], delivery=delivery)
        try:
            report = ingest(client, table, path, options)
        except (Killed, StoreRefused):
            # The second: a server that fails for unknown reasons stops the run after some attempts.
            continue
        break
    assert report is not None
    good = [str(n) for n, wrong in enumerate(bad) if not wrong]
    assert sorted((row["note"] for row in client.rows), key=int) == good
    assert (report.inserted, report.rejected) == (len(good), sum(bad))
    lines = rejects.read_text().splitlines() if rejects.exists() else []
    texts = [json.loads(line)["row"]["text"] for line in lines]
    assert texts == [f"t{n}" for n, wrong in enumerate(bad) if wrong]
    assert not journal_path(path, "t").exists()
    assert client.most_at_once <= (requests if kind == "keyed" else 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_batch_that_was_stored_before_the_process_was_killed(
    tmp_path: Path, make_table: Made, fake_time: Made, kind: str
) -> None:
    path = tmp_path / "x.jsonl"
    write_file(path, [False] * 5, keys="auto" not in kind)
    client = FailingMilvus(["stored and kill"], "milvus_lite-3.2.2" if "lite" in kind else "v2.6.19")
    table, delivery = make_table(auto_id="auto" in kind), DeliveryOptions(clock=fake_time().clock)
    options = IngestOptions("memory", batch=2, delivery=delivery)
    with pytest.raises(Killed):
        ingest(client, table, path, options)
    assert ingest(client, table, path, options).inserted == 5
    assert sorted(row["note"] for row in client.rows) == list("01234")


@pytest.mark.parametrize(
    ("events", "error", "said"),
    [
        (["504"] * 999, ServiceUnreachable, "the embedding service embedded nothing for 60 min"),
        (["lost"] * 999, StoreUnreachable, "Milvus took no rows for 60 min"),
        (["unclear"] * 999, StoreRefused, "segmentation fault of a friend"),
    ],
)
@pytest.mark.parametrize("requests", [1, 3])
def test_a_lasting_fault_says_whose_it_is_and_the_same_command_continues(
    tmp_path: Path,
    make_table: Made,
    fake_time: Made,
    events: list[Event],
    error: type[Exception],
    said: str,
    requests: int,
) -> None:
    path, client = tmp_path / "x.jsonl", FailingMilvus(["ok", *events], "v2.6.19")
    write_file(path, [False] * 12, keys=True)
    delivery = DeliveryOptions(requests=requests, clock=fake_time().clock)
    options = IngestOptions("memory", batch=2, delivery=delivery)
    with pytest.raises(error, match=f"{said}.*rows are stored and 0 were rejected; the same command"):
        ingest(client, make_table(), path, options)
    client.events.clear()
    assert ingest(client, make_table(), path, options).inserted == 12
    assert len(client.rows) == 12


def test_a_collection_that_takes_no_row_is_not_about_the_rows(
    tmp_path: Path, make_table: Made, fake_time: Made
) -> None:
    path, client = tmp_path / "x.jsonl", FailingMilvus([], "v2.6.19")
    write_file(path, [True] * 40, keys=True)
    options = IngestOptions("memory", delivery=DeliveryOptions(clock=fake_time().clock))
    with pytest.raises(StoreRefused, match=r"value out of range.*0 rows are stored and 0 were rejected"):
        ingest(client, make_table(), path, options)


def test_the_last_row_of_a_key_is_stored_with_several_requests(
    tmp_path: Path, make_table: Made, fake_time: Made
) -> None:
    path = tmp_path / "x.jsonl"
    rows = [{"id": n % 3, "text": f"t{n}", "note": str(n)} for n in range(30)]
    path.write_text("\n".join(map(json.dumps, rows)))
    client = FailingMilvus(["504", "ok", "lost"] * 5, "v2.6.19")
    delivery = DeliveryOptions(requests=4, clock=fake_time().clock)
    ingest(client, make_table(), path, IngestOptions("memory", batch=2, delivery=delivery))
    assert sorted(row["note"] for row in client.rows) == ["27", "28", "29"]


def test_rows_in_memory_are_waited_for_too(make_table: Made, fake_time: Made) -> None:
    client, waits = FailingMilvus(["504", "refused", "stored and lost"], "v2.6.19"), list[Any]()
    delivery = DeliveryOptions(waiting=waits.append, clock=fake_time().clock)
    rows = [{"id": n, "text": f"t{n}", "note": "bad" if n == 5 else str(n)} for n in range(8)]
    report = insert_rows(client, make_table(), rows, batch=4, delivery=delivery)
    assert (report.inserted, report.rejected, len(client.rows)) == (7, 1, 7)
    assert "value out of range" in report.reasons[0]
    assert [waiting.fault.party for waiting in waits] == ["service", "service", "Milvus"]


def test_keys_that_milvus_lite_would_make_are_large_and_in_order(
    tmp_path: Path, make_table: Made, fake_time: Made
) -> None:
    path, client = tmp_path / "x.jsonl", FailingMilvus([], "milvus_lite-3.2.2")
    write_file(path, [False] * 5, keys=False)
    options = IngestOptions("memory", batch=2, delivery=DeliveryOptions(clock=fake_time().clock))
    ingest(client, make_table(auto_id=True), path, options)
    keys = [row["id"] for row in client.rows]
    assert keys == list(range(keys[0], keys[0] + 5))
    assert 2**58 < keys[0] < 2**62
