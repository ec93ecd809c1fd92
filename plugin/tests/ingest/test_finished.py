"""A file that is ingested again into a collection whose keys Milvus generates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nestvec.ingest import IngestOptions, ingest
from nestvec.ingest.finished import FinishedIngest
from nestvec.ingest.journal import journal_path

Made = Callable[..., Any]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a", "note": "1"}\n{"text": "b", "note": "2"}\n')
    return path


def again(answers: list[FinishedIngest], *, store: bool) -> Callable[[FinishedIngest], bool]:
    def answer(finished: FinishedIngest) -> bool:
        answers.append(finished)
        return store

    return answer


@pytest.mark.parametrize("version", ["v2.6.19", "milvus_lite-3.2.2"])
@pytest.mark.parametrize("store", [True, False])
def test_it_is_said_before_its_rows_are_doubled(
    path: Path, milvus: Made, make_table: Made, version: str, store: bool
) -> None:
    client, table, calls = milvus(version=version), make_table(auto_id=True), list[FinishedIngest]()
    options = IngestOptions("memory", again=again(calls, store=store))
    assert ingest(client, table, path, options).inserted == 2
    assert calls == []
    copy = path.with_name("copy.jsonl")
    copy.write_bytes(path.read_bytes())
    report = ingest(client, table, copy, options)
    assert [(call.file, call.rows) for call in calls] == [(str(path), 2)]
    assert (report.finished, len(client.rows)) == ((True, 4) if store else (False, 2))
    assert not journal_path(copy, "t").exists()


def test_it_is_said_of_an_ingest_whose_record_names_the_default_database(
    path: Path, milvus: Made, make_table: Made
) -> None:
    client, table, calls = milvus(), make_table(auto_id=True), list[FinishedIngest]()
    options = IngestOptions("memory", again=again(calls, store=False))
    ingest(client, table, path, replace(options, target="memory#default"))
    assert not ingest(client, table, path, options).finished
    assert [call.rows for call in calls] == [2]
    ingest(client, table, path, replace(options, target="memory#other"))
    assert len(calls) == 1


def test_it_is_said_of_a_longer_file_in_a_folder_whose_name_ends_lines(
    path: Path, milvus: Made, make_table: Made
) -> None:
    client, table, calls = milvus(), make_table(auto_id=True), list[FinishedIngest]()
    options = IngestOptions("memory", again=again(calls, store=False))
    folder = path.parent / "a\u2028b"
    folder.mkdir()
    longer = path.rename(folder / path.name)
    ingest(client, table, longer, options)
    longer.write_text(f'{longer.read_text()}{{"text": "c", "note": "3"}}\n')
    assert not ingest(client, table, longer, options).finished
    assert [(call.file, call.rows) for call in calls] == [(str(longer), 2)]


def test_nothing_is_said_of_another_file_an_empty_collection_or_rows_with_keys(
    path: Path, milvus: Made, make_table: Made
) -> None:
    client, calls = milvus(), list[FinishedIngest]()
    options = IngestOptions("memory", again=again(calls, store=False))
    ingest(client, make_table(auto_id=True), path, options)
    client.rows.clear()
    ingest(client, make_table(auto_id=True), path, options)
    ingest(client, make_table(auto_id=True), path, replace(options, target="other"))
    path.write_text('{"text": "a", "note": "3"}\n')
    ingest(client, make_table(auto_id=True), path, options)
    path.write_text('{"id": 1, "text": "a", "note": "3"}\n')
    client.rows.clear()
    for _ in range(2):
        assert ingest(client, make_table(), path, options).finished
    assert calls == []


def test_it_is_said_of_a_file_that_has_become_longer(path: Path, milvus: Made, make_table: Made) -> None:
    client, table, calls = milvus(), make_table(auto_id=True), list[FinishedIngest]()
    options = IngestOptions("memory", again=again(calls, store=False))
    ingest(client, table, path, options)
    with path.open("a") as file:
        file.write('{"text": "a", "note": "3"}\n')
    assert not ingest(client, table, path, options).finished
    assert [(call.file, call.rows) for call in calls] == [(str(path), 2)]
    assert len(client.rows) == 2
    path.write_text('{"text": "a", "note": "4"}\n' * 9)
    assert ingest(client, table, path, options).finished
    assert len(calls) == 1


def test_it_is_said_of_an_earlier_content_of_the_file_that_has_become_longer(
    path: Path, milvus: Made, make_table: Made
) -> None:
    client, table, calls = milvus(), make_table(auto_id=True), list[FinishedIngest]()
    options = IngestOptions("memory", again=again(calls, store=False))
    first = path.read_text()
    for text in (first, '{"text": "c", "note": "3"}\n', '{"text": "d", "note": "4"}\n'):
        path.write_text(text)
        assert ingest(client, table, path, options).finished
    assert calls == []
    path.write_text(first + '{"text": "e", "note": "5"}\n')
    assert not ingest(client, table, path, options).finished
    assert [call.rows for call in calls] == [2]
    assert len(client.rows) == 4


def test_a_state_folder_that_is_not_writable_is_no_error(
    path: Path, milvus: Made, make_table: Made, state_folder: Path
) -> None:
    (state_folder / "nestvec").write_text("a file")
    assert ingest(milvus(), make_table(auto_id=True), path, IngestOptions("memory")).finished


class Changed:
    """Has a fake Milvus lead ``t`` to another collection."""

    def __init__(self, client: Any, present: str) -> None:
        self.client, self.present = client, present

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def has_collection(self, name: str) -> bool:
        return name == "t"

    def describe_collection(self, name: str) -> dict[str, Any]:
        described = self.client.describe_collection(name)
        return {**described, "collection_name": self.present if name == "t" else name}


@pytest.mark.parametrize("interrupted", [True, False])
def test_it_is_said_of_rows_that_changes_have_carried_over(
    path: Path, milvus: Made, make_table: Made, interrupted: bool
) -> None:
    client, table = milvus(version="milvus_lite-3.2.2"), make_table(auto_id=True)
    calls = list[FinishedIngest]()
    options = IngestOptions("memory", batch=1, again=again(calls, store=False))
    ingest(client, table, path, options, stop=lambda: interrupted and bool(client.rows))
    rows = len(client.rows)
    assert rows == (1 if interrupted else 2)
    # Another collection that is called so, which no reader has as ``t``.
    other = replace(table, name="t__2")
    assert ingest(Changed(client, "t__1"), other, path, options).finished
    assert calls == []
    present = replace(table, name="t__3")
    assert not ingest(Changed(client, "t__3"), present, path, options).finished
    # ``t__2`` is the nearest of those before.
    assert [call.rows for call in calls] == [2]
    present = replace(table, name="t__1")
    assert not ingest(Changed(client, "t__1"), present, path, options).finished
    assert [call.rows for call in calls] == [2, rows]
    assert not journal_path(path, "t__1").exists()
