"""The ingest loop: every row once, wherever it is cut off."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nestvec.ingest import DeliveryOptions, IngestOptions, batches, ingest, insert_rows
from nestvec.ingest.journal import journal_path
from nestvec.ingest.write.patience import Clock
from nestvec_schemas.errors import CollectionRetired, IngestError, JournalMismatch, StoreRefused

Made = Callable[..., Any]
TIME = Clock(now=count().__next__, sleep=lambda seconds: None)
"""A clock that moves by a second each time that it is read."""

OPTIONS = IngestOptions("memory", batch=3, delivery=DeliveryOptions(requests=1, clock=TIME))


def write_rows(path: Path, good: list[bool], *, keys: bool = True) -> list[int]:
    """A file with a row a flag, of which the False ones cannot be stored; gives the numbers of the others."""
    lines = []
    for number, fine in enumerate(good):
        row: dict[str, object] = {"text": "a" if fine else "", "note": str(number)}
        lines.append(json.dumps(row | ({"id": number} if keys else {})))
    path.write_text("\n".join(lines))
    return [number for number, fine in enumerate(good) if fine]


def notes(client: Any) -> list[int]:
    return sorted(int(row["note"]) for row in client.rows)


@given(
    good=st.lists(st.booleans(), max_size=25),
    crash_at=st.integers(0, 9),
    landed=st.booleans(),
    auto_id=st.booleans(),
    second=st.integers(1, 5),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_wherever_it_crashes_every_row_is_there_once(
    tmp_path: Path,
    milvus: Made,
    crash: type[BaseException],
    make_table: Made,
    good: list[bool],
    crash_at: int,
    landed: bool,
    auto_id: bool,
    second: int,
) -> None:
    path, rejects = tmp_path / "x.jsonl", tmp_path / "x.jsonl.rejected.jsonl"
    rejects.unlink(missing_ok=True)
    journal_path(path, "t").unlink(missing_ok=True)
    wanted = write_rows(path, good, keys=not auto_id)
    client, table = milvus(crash_at, landed), make_table(auto_id=auto_id)
    seen: list[int] = []
    try:
        report = ingest(client, table, path, OPTIONS, seen.append)
    except crash:
        assert journal_path(path, "t").exists()
        seen.clear()
        report = ingest(client, table, path, replace(OPTIONS, batch=second), seen.append)
    assert notes(client) == wanted
    assert (report.inserted, report.rejected) == (len(wanted), len(good) - len(wanted))
    assert sum(seen) == len(good)
    assert not journal_path(path, "t").exists()
    lines = rejects.read_text().splitlines() if rejects.exists() else []
    assert [json.loads(line)["row"]["note"] for line in lines] == [
        str(number) for number, fine in enumerate(good) if not fine
    ]
    assert rejects.exists() == (report.rejects is not None)


@given(
    lines=st.lists(
        st.sampled_from(['"a', 'b"', "a,b", '"a,b', 'a",b', '"a",b', 'a"b,c', '"a""', '""b",c', '"', ""]),
        min_size=1,
        max_size=9,
    ),
    cut=st.integers(0, 8),
    crash_at=st.integers(-1, 4),
    kill_at=st.integers(1, 6),
    landed=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_csv_that_grows_after_a_crash_is_stored_as_in_one_run_or_refused(
    tmp_path: Path,
    milvus: Made,
    crash: type[BaseException],
    make_table: Made,
    lines: list[str],
    cut: int,
    crash_at: int,
    kill_at: int,
    landed: bool,
) -> None:
    """Whatever its quotes are, and a file that stays as it was is never refused. The first run crashes as the
    ``crash_at``-th row is stored, or after the ``kill_at``-th is done."""
    path, rejects = tmp_path / "x.csv", tmp_path / "x.csv.rejected.jsonl"
    table, done = make_table(auto_id=True), 0

    def kill(rows: int) -> None:
        nonlocal done
        done += rows
        if done >= kill_at:
            raise crash

    def run(client: Any, advance: Callable[[int], None] = lambda rows: None) -> tuple[list[Any], str, int]:
        report = ingest(client, table, path, replace(OPTIONS, batch=1), advance)
        stored = [(row["text"], row["note"]) for row in client.rows]
        return stored, rejects.read_text() if rejects.exists() else "", report.inserted

    def write(count: int) -> None:
        path.write_text("text,note\n" + "".join(f"{line}\n" for line in lines[:count]))

    for file in tmp_path.iterdir():
        file.unlink()
    write(len(lines))
    in_one_run = run(milvus())
    rejects.unlink(missing_ok=True)
    write(cut)
    client, grows = milvus(crash_at, landed), cut < len(lines)
    try:
        run(client, kill)
    except crash:
        client.crash_at = -1
        write(len(lines))
        try:
            assert run(client) == in_one_run
        except JournalMismatch as error:
            assert grows and "grown by lines that change rows" in str(error)


def test_it_stops_between_batches_and_goes_on(tmp_path: Path, milvus: Made, make_table: Made) -> None:
    path = tmp_path / "x.jsonl"
    wanted = write_rows(path, [True] * 8)
    client = milvus()
    first = ingest(client, make_table(), path, OPTIONS, stop=lambda: len(client.rows) >= 3)
    assert (first.finished, first.inserted, notes(client)) == (False, 3, wanted[:3])
    second = ingest(client, make_table(), path, OPTIONS)
    assert (second.finished, second.inserted, second.this_run, second.resumed_at) == (True, 8, 5, 3)
    assert client.sizes == [3, 3, 2]
    assert notes(client) == wanted


def test_a_second_run_of_a_finished_file_writes_the_same_rows(
    tmp_path: Path, milvus: Made, make_table: Made
) -> None:
    path, client = tmp_path / "x.jsonl", milvus()
    wanted = write_rows(path, [True] * 4)
    ingest(client, make_table(), path, OPTIONS)
    assert ingest(client, make_table(), path, OPTIONS).inserted == 4
    assert notes(client) == wanted


def test_a_refused_batch_says_how_far_it_is_and_keeps_the_journal(
    tmp_path: Path, milvus: Made, make_table: Made
) -> None:
    path, client = tmp_path / "x.jsonl", milvus()
    wanted = write_rows(path, [True] * 5)

    def advance(rows: int) -> None:
        client.refuse = "disk full" if client.rows else ""

    with pytest.raises(
        StoreRefused, match=r"disk full.*3 rows are stored and 0 were rejected; the same command"
    ) as error:
        ingest(client, make_table(auto_id=False), path, OPTIONS, advance)
    assert (error.value.has_written, error.value.has_replaceable_rows) == (False, True)
    with pytest.raises(StoreRefused, match="disk full") as error:
        ingest(client, make_table(auto_id=False), path, OPTIONS)
    assert not error.value.has_replaceable_rows
    client.refuse = ""
    assert ingest(client, make_table(), path, OPTIONS).resumed_at == 3
    assert notes(client) == wanted


@pytest.mark.parametrize("auto_id", [True, False])
def test_an_ingest_that_a_change_ends_does_not_say_that_it_continues(
    tmp_path: Path, milvus: Made, make_table: Made, auto_id: bool
) -> None:
    """The journal is that of the collection of before, and the rows have been carried over."""
    path, client = tmp_path / "x.jsonl", milvus(version="milvus_lite-3.2.2")
    write_rows(path, [True] * 5, keys=not auto_id)
    describe = client.describe_collection

    def describe_retired(name: str) -> dict[str, Any]:
        if name == "papers":
            return {"collection_name": "papers__1"}
        retired = {"properties": {"nestvec.retired": "papers"}} if len(client.sizes) == 2 else {}
        return {"collection_name": name, **describe(name), **retired}

    client.describe_collection, client.has_collection = describe_retired, lambda name: True
    with pytest.raises(CollectionRetired) as error:
        ingest(client, make_table(auto_id=auto_id), path, OPTIONS)
    message = str(error.value)
    assert "3 rows are stored and 0 were rejected; a change carries them over" in message
    assert "continues" not in message
    assert ("it stores rows a second time that were carried over" in message) == auto_id
    assert error.value.has_written == auto_id


def test_restart_forgets_the_interrupted_run(tmp_path: Path, milvus: Made, make_table: Made) -> None:
    path, client = tmp_path / "x.jsonl", milvus()
    write_rows(path, [True] * 6)
    ingest(client, make_table(), path, OPTIONS, stop=lambda: bool(client.rows))
    wanted = write_rows(path, [True] * 7)
    with pytest.raises(JournalMismatch, match="size has changed"):
        ingest(client, make_table(), path, OPTIONS)
    assert ingest(client, make_table(), path, replace(OPTIONS, restart=True)).resumed_at == 0
    assert notes(client) == wanted


@pytest.mark.parametrize(
    ("version", "auto_id"), [("v2.6.19", False), ("milvus_lite-3.2.2", False), ("milvus_lite-3.2.2", True)]
)
def test_a_collection_that_was_created_again_has_none_of_the_rows_before(
    tmp_path: Path, milvus: Made, make_table: Made, version: str, auto_id: bool
) -> None:
    path, client, table = tmp_path / "x.jsonl", milvus(version=version), make_table(auto_id=auto_id)
    wanted = write_rows(path, [True] * 6, keys=not auto_id)
    ingest(client, table, path, OPTIONS, stop=lambda: bool(client.rows))
    client.rows = [{"id": 77, "note": "77"}]
    with pytest.raises(JournalMismatch, match=r"dropped and created again.*: no row with id .* --restart"):
        ingest(client, table, path, OPTIONS)
    ingest(client, table, path, replace(OPTIONS, restart=True))
    assert notes(client) == [*wanted, 77]


@pytest.mark.parametrize("auto_id", [False, True])
def test_a_collection_of_another_id_is_another(
    tmp_path: Path, milvus: Made, make_table: Made, auto_id: bool
) -> None:
    path, client, table = tmp_path / "x.jsonl", milvus(), make_table(auto_id=auto_id)
    client.collection_id = 5
    write_rows(path, [True] * 6, keys=not auto_id)
    ingest(client, table, path, OPTIONS, stop=lambda: bool(client.rows))
    client.collection_id = 6
    with pytest.raises(JournalMismatch, match=r"dropped and created again.*: id 5, now 6"):
        ingest(client, table, path, OPTIONS)
    client.collection_id = 5
    assert ingest(client, table, path, OPTIONS).resumed_at == 3


def test_an_ingest_continues_in_a_collection_that_was_released(
    tmp_path: Path, milvus: Made, make_table: Made
) -> None:
    path, client = tmp_path / "x.jsonl", milvus()
    write_rows(path, [True] * 6)
    ingest(client, make_table(), path, OPTIONS, stop=lambda: bool(client.rows))
    client.loaded = False
    assert ingest(client, make_table(), path, OPTIONS).resumed_at == 3


def test_a_collection_with_any_of_the_last_rows_is_the_same(
    tmp_path: Path, milvus: Made, make_table: Made
) -> None:
    path, client = tmp_path / "x.jsonl", milvus()
    write_rows(path, [True] * 9)
    ingest(client, make_table(), path, OPTIONS, stop=lambda: len(client.rows) > 3)
    del client.rows[5]
    assert ingest(client, make_table(), path, OPTIONS).resumed_at == 6


def test_another_writer_is_noticed_where_milvus_makes_the_keys(
    tmp_path: Path, milvus: Made, crash: type[BaseException], make_table: Made
) -> None:
    path, client = tmp_path / "x.jsonl", milvus(1)
    write_rows(path, [True] * 6, keys=False)
    with pytest.raises(crash):
        ingest(client, make_table(auto_id=True), path, OPTIONS)
    client.rows.append({"note": "99"})
    with pytest.raises(JournalMismatch, match="4 rows, where 3 or 6 were expected"):
        ingest(client, make_table(auto_id=True), path, OPTIONS)


def test_the_last_row_of_a_key_stays_whatever_the_batch(
    tmp_path: Path, milvus: Made, make_table: Made
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,text,note\n1,a,1\n1,b,2\n2,c,3\n")
    for batch in (1, 2, 3):
        client = milvus()
        report = ingest(client, make_table(), path, replace(OPTIONS, batch=batch))
        assert (report.inserted, report.rejected, notes(client)) == (3, 0, [2, 3])


def test_a_header_that_does_not_fit_fails_before_any_row(
    tmp_path: Path, milvus: Made, make_table: Made
) -> None:
    path, client = tmp_path / "x.csv", milvus()
    path.write_text("id,txt,note\n1,a,1\n")
    with pytest.raises(IngestError, match=r"txt.*Did you mean 'text'"):
        ingest(client, make_table(), path, OPTIONS)
    assert list(tmp_path.iterdir()) == [path]


def test_rejects_may_not_replace_the_input(tmp_path: Path, milvus: Made, make_table: Made) -> None:
    path = tmp_path / "x.jsonl"
    write_rows(path, [True])
    for rejects in (path, journal_path(path, "t")):
        with pytest.raises(IngestError, match="would be written over the input"):
            ingest(milvus(), make_table(), path, replace(OPTIONS, rejects=rejects))


@pytest.mark.parametrize("batch", [0, 5121])
def test_a_batch_that_milvus_does_not_take(
    tmp_path: Path, milvus: Made, make_table: Made, batch: int
) -> None:
    with pytest.raises(IngestError, match="Choose 1 to 5120 rows"):
        ingest(milvus(), make_table(), tmp_path / "x.jsonl", replace(OPTIONS, batch=batch))
    with pytest.raises(IngestError, match="Choose 1 to 5120 rows"):
        insert_rows(milvus(), make_table(), [], batch=batch)


def test_a_batch_is_cut_at_its_bytes(milvus: Made, make_table: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_BATCH_BYTES", 70)
    rows = [{"id": n, "text": "x" * 10, "note": str(n)} for n in range(4)]
    client = milvus()
    report = insert_rows(
        client, make_table(), [*rows, {"id": 9, "text": "x", "note": "", "json": ["x" * 80]}]
    )
    assert client.sizes == [2, 2]
    assert "the row is larger than 16 MiB" in report.reasons[0]


def test_rows_at_hand(milvus: Made, make_table: Made) -> None:
    client, seen = milvus(), list[int]()
    rows = [{"id": n, "text": "" if n % 2 else "a", "note": str(n)} for n in range(20)]
    report = insert_rows(client, make_table(), iter(rows), batch=4, advance=seen.append)
    assert notes(client) == list(range(0, 20, 2))
    assert (report.inserted, report.rejected, len(report.reasons), sum(seen)) == (10, 10, 5, 20)
    assert report.reasons[0].startswith("row 2: column text is empty")
